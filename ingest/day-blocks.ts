/**
 * A tenant's messages per day, counted without a database write per message: each process takes blocks of the shared count
 * and uses them up. While the database does not answer it goes on by itself and adds what it accepted later.
 */
import { withDeadline } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { DayCount, QuotaCounters } from '../store/index.ts';

export interface DayBlocksDeps {
  readonly counters: Pick<QuotaCounters, 'reserve' | 'giveBack'>;
  readonly logger: Logger;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** How many ingest processes share a count. */
  readonly processes: () => number;
  /** How long a message waits for the database at most; default 2 s. */
  readonly patienceMs?: number | undefined;
}

/** What one count allows: of a tenant, and of all its lanes or one. */
export interface DayAsk {
  readonly tenantId: string;
  readonly counter: string;
  readonly perDay: number;
}

export interface DayBlocks {
  /** Whether one more may be taken, after asking the database for a block if need be. */
  mayTake(ask: DayAsk): Promise<boolean>;
  /** The same by what is known here. */
  canTakeNow(ask: DayAsk): boolean;
  take(ask: DayAsk): void;
  putBack(ask: DayAsk): void;
  /** What is left of the day, as known here. */
  left(ask: DayAsk): number;
  /** Settles what was accepted without the database, gives back what lies idle. */
  tidy(): Promise<void>;
  close(): Promise<void>;
}

interface Block {
  readonly count: DayCount;
  /** Reserved and not used. */
  unused: number;
  /** Size of the last block. */
  size: number;
  /** Accepted without a reservation. */
  debt: number;
  /** What others could still take at the last look; undefined: never looked. */
  left: number | undefined;
  /** The quota that was looked with. */
  most: number;
  lookedAtMs: number;
  usedAtMs: number;
  isOut: boolean;
  asking: Promise<void> | undefined;
}

/** A caller waits for the database this long, then its message is accepted without it. */
const usualPatienceMs = 2000;
/** How often a used-up day, and a database that does not answer, are asked again. */
const askAgainMs = 1000;
const idleMs = 10_000;

/** When the UTC day of a time ends, epoch milliseconds. */
export function dayEndMs(nowMs: number): number {
  return (Math.floor(nowMs / 86_400_000) + 1) * 86_400_000;
}

export function createDayBlocks(deps: DayBlocksDeps): DayBlocks {
  const { counters, logger, now, processes, patienceMs = usualPatienceMs } = deps;
  const blocks = new Map<string, Block>();

  const blockOf = ({ tenantId, counter, perDay }: DayAsk): Block => {
    const key = `${tenantId}/${counter}`;
    const day = new Date(now()).toISOString().slice(0, 10);
    let block = blocks.get(key);
    // What is unused or owed of a day that is over counts for nothing any more.
    if (block === undefined || block.count.day !== day) {
      block = {
        count: { tenantId, counter, day },
        unused: 0,
        size: 0,
        debt: 0,
        left: undefined,
        most: perDay,
        lookedAtMs: -Infinity,
        usedAtMs: now(),
        isOut: false,
        asking: undefined,
      };
      blocks.set(key, block);
    }
    // The first answer under a new quota counts, not what is known of the old one.
    if (block.most !== perDay) {
      block.left = Math.max(0, (block.left ?? block.most) + perDay - block.most);
      block.most = perDay;
      block.lookedAtMs = -Infinity;
    }
    return block;
  };

  const isAway = (block: Block, error: unknown) => {
    if (!block.isOut) logger.warn({ ...block.count, error }, 'quota.uncounted');
    block.isOut = true;
  };
  const reserve = async (block: Block): Promise<void> => {
    const { debt, count, most } = block;
    block.lookedAtMs = now();
    try {
      const { granted, left } = await counters.reserve({
        count,
        most,
        debt,
        processes: processes(),
      });
      block.unused += granted;
      block.size = granted;
      block.debt -= debt;
      if (block.most === most) block.left = left;
      if (block.isOut) logger.info({ ...count, debt }, 'quota.counted-again');
      block.isOut = false;
    } catch (error) {
      isAway(block, error);
    } finally {
      block.asking = undefined;
    }
  };
  /** Waits no longer than a caller should; an answer that comes later counts all the same. */
  const ask = (block: Block): Promise<void> =>
    withDeadline((block.asking ??= reserve(block)), patienceMs, 'reserving a block').catch(
      (error: unknown) => isAway(block, error),
    );

  const isDue = (block: Block) => now() - block.lookedAtMs >= askAgainMs;
  const has = (block: Block): boolean =>
    block.unused > 0 || (block.isOut && block.debt < (block.left ?? block.most));

  const settleIdle = async (block: Block) => {
    if (block.debt > 0 && isDue(block)) await ask(block);
    if (block.unused > 0 && now() - block.usedAtMs > idleMs) await giveBack(block);
  };
  const giveBack = async (block: Block) => {
    const { unused, count } = block;
    block.unused = 0;
    block.left = (block.left ?? 0) + unused;
    // Lost if the database does not answer: the day is then shorter by it, never longer.
    await counters.giveBack(count, unused).catch((error: unknown) => {
      logger.warn({ ...count, unused, error }, 'quota.not-given-back');
    });
  };

  return {
    mayTake: async (wanted) => {
      for (;;) {
        const block = blockOf(wanted);
        if (has(block)) {
          // The next block is fetched before this one is empty, so that nobody waits for it.
          const isRunningLow = block.unused * 2 <= block.size && block.left !== 0;
          if (block.isOut ? isDue(block) : isRunningLow) void ask(block);
          return true;
        }
        if (block.isOut && isDue(block)) void ask(block);
        if (block.isOut || (block.left === 0 && !isDue(block))) return false;
        await ask(block);
      }
    },
    canTakeNow: (wanted) => has(blockOf(wanted)),
    take: (wanted) => {
      const block = blockOf(wanted);
      block.usedAtMs = now();
      if (block.unused > 0) block.unused -= 1;
      else block.debt += 1;
    },
    putBack: (wanted) => void (blockOf(wanted).unused += 1),
    left: (wanted) => {
      const block = blockOf(wanted);
      return Math.max(0, block.unused + (block.left ?? block.most) - block.debt);
    },
    tidy: async () => {
      const today = new Date(now()).toISOString().slice(0, 10);
      for (const [key, block] of blocks)
        if (block.count.day === today) await settleIdle(block);
        else blocks.delete(key);
    },
    close: async () => {
      const settle = async (block: Block) => {
        if (block.debt > 0) await ask(block);
        if (block.unused > 0) await giveBack(block);
      };
      await Promise.all([...blocks.values()].map(settle));
    },
  };
}
