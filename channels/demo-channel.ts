/** What a channel gives to the demo tenant: an account that points at its simulator, and content for the demo's templates. */
import type { To } from '../contracts/message.ts';

export interface DemoChannel {
  readonly connector: string;
  /** The simulator's name, as in its paths and `urlOf`. */
  readonly simulator: string;
  /** Whose receipt address it is at the simulator, where each account has its own: `<simulator>/<account>`. */
  readonly receiptTarget?: string;
  /** Settings and secrets of an account at the simulator that listens at `url`. `receiptToken`: for receipts that are not signed. */
  readonly account: (at: { readonly url: string; readonly receiptToken: string }) => {
    readonly settings: unknown;
    readonly secrets: unknown;
  };
  readonly ratePerSecond: number;
  /** Content of the demo template `plain-notice`, whose one variable is `text`. */
  readonly plainNotice: unknown;
  /** An address the simulator knows: what a newcomer sends to. */
  readonly to: To;
}
