/** What a channel supplies to the conformance suite: its simulator, accounts, and how its refusals are provoked. */
import type { AccountAccess, Connector, ReceiptRequest } from '../contracts/channel.ts';
import type { To } from '../contracts/message.ts';
import type { OutcomeClass } from '../contracts/outcome.ts';

/** What a simulator is asked to do to the next send to one address. */
export type ConformanceFault =
  | 'error-before-accept'
  | 'reset-before-accept'
  | 'accept-then-5xx'
  | 'accept-then-reset'
  | 'accept-then-hang'
  | 'accept-then-slow-body'
  | 'accept-then-html'
  | 'html-502';

export interface ConformanceTarget {
  readonly connector: Connector;
  readonly account: AccountAccess;
  /** Same provider, wrong secret. */
  readonly strangerAccount: AccountAccess;
  /** Nobody listens where it points. */
  readonly unreachableAccount: AccountAccess;
  /** Rendered content that the provider takes. */
  readonly content: Readonly<Record<string, unknown>>;
  /** The same with the delivery key in its text: where the protocol itself has no place for one. */
  contentFor?(deliveryKey: string): Readonly<Record<string, unknown>>;
  /** An address that was not used before. */
  newAddress(): To;
  inject(fault: ConformanceFault, to: To): void;
  /** How many messages the provider took under this delivery key. */
  acceptedCount(deliveryKey: string): number;
  /** How many messages with this delivery key a person can see now. */
  visibleCount(deliveryKey: string): number;
  /** Where the provider gives out tokens. */
  readonly tokens?: {
    /** Makes every token that was given out stale, from now on. */
    revoke(): void;
    /** How many tokens were asked for so far. */
    fetched(): number;
  };
  /** Where the client has `sendBatch`: an address that the provider refuses, and what comes of it within a batch. */
  readonly batch?: { readonly badAddress: To; readonly outcome: OutcomeClass };
  /** Where the client has `askReceipts`: makes the provider know what became of this message. */
  settle?(deliveryKey: string): void | Promise<void>;
  /** Receipt pushes as they come over the wire; absent where `receipts` is none. */
  readonly receipts?: {
    /** The push that tells of this delivery, once the provider sends it. */
    genuine(deliveryKey: string): Promise<ReceiptRequest>;
    /** The same push from somebody who is not the provider. */
    forge(request: ReceiptRequest): ReceiptRequest;
    /** What the provider would never send. */
    readonly malformed: readonly ReceiptRequest[];
  };
  close(): Promise<void>;
}

/** A refusal of the provider: how to provoke it, and what must come of it. */
export interface RefusalCase<Target extends ConformanceTarget> {
  readonly name: string;
  readonly outcome: OutcomeClass;
  readonly providerCode: string;
  /** Prepares the provider, and says which address and content to send. */
  arrange(target: Target, to: To): Arranged | Promise<Arranged>;
}
export type Arranged = { readonly to?: To; readonly content?: unknown };
