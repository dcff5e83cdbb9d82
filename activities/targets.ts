/** Who exactly is called for a recipient: the address itself, a user's address in the book, or every device of theirs. */
import type { Connector } from '../contracts/channel.ts';
import { addressAs, type AcceptedMessage, type To } from '../contracts/message.ts';
import { isByBook, reachedAt, type Person } from '../contracts/people.ts';
import type { End } from './progress.ts';

export interface TargetsDeps {
  /** The devices a user has at this account, newest first. Errors: the problem store-unavailable. */
  readonly devicesOf: (owner: {
    tenantId: string;
    userId: string;
    accountId: string;
  }) => Promise<readonly string[]>;
  /** Forgets a device that the provider called dead; never throws. */
  readonly forgetDevice: (accountId: string, to: To, asOf: Date) => Promise<void>;
  /** A person as registered. Errors: the problem store-unavailable. */
  readonly personOf: (key: { tenantId: string; userId: string }) => Promise<Person | undefined>;
  readonly hash: (tenantId: string, to: To) => string;
}

/** One address and the key under which the provider knows this delivery to it. */
export interface Target {
  readonly to: To;
  readonly key: string;
  /** What the limits per recipient count: the address in the book, so that it is one recipient however it was named. */
  readonly recipientHash: string;
}

/** The addresses of a message; none when a user has no device or no address. Errors: the problem store-unavailable. */
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
  const { tenantId, accountId, recipientHash } = message;
  const userId = addressAs('userId', to);
  if (userId !== undefined && connector.hasDevices === true) {
    const tokens = await deps.devicesOf({ tenantId, userId, accountId });
    return tokens.map((deviceToken) => ({
      to: { deviceToken },
      key: keyOf({ deviceToken }),
      recipientHash,
    }));
  }
  if (userId === undefined || !isByBook(connector.addressKinds, to))
    return [{ to, key: keyOf(to), recipientHash }];
  const address = reachedAt(connector, to, await deps.personOf({ tenantId, userId }));
  if (address === undefined) return [];
  // Keyed by the user: the delivery stays one when the book changes between two attempts.
  return [{ to: address, key: keyOf(to), recipientHash: deps.hash(tenantId, address) }];
}

/** What a message comes to that has no target. */
export function endWithoutTarget({ hasDevices }: Connector): Extract<End, { isDone: false }> {
  const reason =
    hasDevices === true
      ? {
          code: 'no-device',
          detail: 'this user has no device registered at this channel account',
        }
      : {
          code: 'no-address',
          detail: 'this user is registered with no address that the channel takes',
        };
  return { isDone: false, failureType: 'recipient-invalid', reason };
}
