/** Who exactly is called for a recipient: the address itself, or every device that a user has registered. */
import type { Connector } from '../contracts/channel.ts';
import { addressAs, type AcceptedMessage, type To } from '../contracts/message.ts';

export interface TargetsDeps {
  /** The devices a user has at this account, newest first. Errors: the problem store-unavailable. */
  readonly devicesOf: (owner: {
    tenantId: string;
    userId: string;
    accountId: string;
  }) => Promise<readonly string[]>;
  /** Forgets a device that the provider called dead; never throws. */
  readonly forgetDevice: (accountId: string, to: To, asOf: Date) => Promise<void>;
}

/** One address and the key under which the provider knows this delivery to it. */
export interface Target {
  readonly to: To;
  readonly key: string;
}

/** The addresses of a message; none when a user has no device. Errors: the problem store-unavailable. */
export async function findTargets(
  deps: TargetsDeps,
  of: {
    readonly message: AcceptedMessage;
    readonly connector: Connector;
    readonly to: To;
    readonly keyOf: (to: To) => string;
  },
): Promise<readonly Target[]> {
  const { message, connector, to, keyOf } = of;
  const userId = addressAs('userId', to);
  if (userId === undefined || connector.hasDevices !== true) return [{ to, key: keyOf(to) }];
  const { tenantId, accountId } = message;
  const tokens = await deps.devicesOf({ tenantId, userId, accountId });
  return tokens.map((deviceToken) => ({ to: { deviceToken }, key: keyOf({ deviceToken }) }));
}
