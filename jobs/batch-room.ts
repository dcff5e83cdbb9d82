/**
 * How much of a batch may be handed over: what its accounts can send within some minutes is enough to keep them busy, and
 * what lies in RocketMQ longer than that only grows old there. Pure.
 */
import type { Connector } from '../contracts/channel.ts';
import type { PostBatch } from '../contracts/batch.ts';
import { isEnd, type Status } from '../contracts/status.ts';
import type { Account, Template } from '../contracts/template.ts';

/** How many seconds of an account's work may wait. */
const aheadSeconds = 600;
/** Of a slow account, too, a block may wait. */
const leastAhead = 100;

/** A batch as it is known now. */
export interface Load {
  readonly id: string;
  readonly accountIds: ReadonlySet<string>;
  /** Members handed over, alone or in chunks. */
  readonly published: number;
  /** By the index, which may be behind: then more seems to wait than does. */
  readonly counts: Readonly<Partial<Record<Status, number>>>;
}

/** Messages of this batch, each member of a chunk for itself, that may be handed over beside what waits of all batches through the same accounts. */
export function roomOf(
  batch: Load,
  loads: readonly Load[],
  accounts: readonly Pick<Account, 'id' | 'limitInForce' | 'ratePerSecond'>[],
): number {
  const rates = accounts
    .filter(({ id }) => batch.accountIds.has(id))
    .map(({ limitInForce, ratePerSecond }) => limitInForce ?? ratePerSecond);
  const rate = rates.reduce((sum, one) => sum + one, 0);
  const waiting = loads
    .filter(({ accountIds }) => [...accountIds].some((id) => batch.accountIds.has(id)))
    .reduce((sum, load) => sum + waitingOf(load), 0);
  // Held accounts take nothing: what was handed over to them would only wait elsewhere.
  return rate === 0 ? 0 : Math.max(leastAhead, rate * aheadSeconds) - waiting;
}

/** Handed over, and not under way at a provider's account. */
function waitingOf({ published, counts }: Load): number {
  const taken = Object.entries(counts)
    .filter(([status]) => status !== 'accepted')
    .reduce((sum, [, count]) => sum + count, 0);
  return Math.max(0, published - taken);
}

/** Whether every one of so many messages has ended. */
export function haveAllEnded(total: number, counts: Load['counts']): boolean {
  const ended = Object.entries(counts)
    .filter(([status]) => isEnd(status as Status))
    .reduce((sum, [, count]) => sum + count, 0);
  return ended >= total;
}

/** The accounts that a batch's messages may go through. */
export function accountsOfBatch(
  { channel, channels }: Pick<PostBatch, 'channel' | 'channels'>,
  of: {
    readonly template: Pick<Template, 'contents'> | undefined;
    readonly connectors: ReadonlyMap<string, Connector>;
    readonly accounts: readonly Account[];
  },
): ReadonlySet<string> {
  const wanted = channels ?? (channel === undefined ? undefined : [channel]);
  return new Set(
    of.accounts
      .filter(
        ({ connector, channel: its }) =>
          Object.hasOwn(of.template?.contents ?? {}, connector) &&
          of.connectors.has(connector) &&
          (wanted === undefined || wanted.includes(its) || wanted.includes(connector)),
      )
      .map(({ id }) => id),
  );
}
