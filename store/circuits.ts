/** Circuits of channel accounts: open while the account itself is at fault, so that no message is spent on it. */
import type { Reason } from '../contracts/result.ts';
import { providerDown } from '../contracts/result.ts';
import { isDuplicate, type Database } from './database.ts';

export interface Circuit {
  readonly accountId: string;
  readonly tenantId: string;
  readonly reason: Reason;
  /** ISO times. */
  readonly openedAt: string;
  readonly nextTryAt: string;
  /** Tries since it opened, and before that if it had only just closed. */
  readonly tries: number;
}

export interface Circuits {
  /** Opens it; false: it is open already. One that had only just closed goes on waiting longer. */
  open(circuit: {
    readonly accountId: string;
    readonly tenantId: string;
    readonly reason: Reason;
    /** When the provider said it would serve again, epoch milliseconds. */
    readonly resumeAtMs?: number;
    readonly nowMs: number;
  }): Promise<boolean>;
  /** All that are open. */
  listOpen(): Promise<readonly Circuit[]>;
  /** Tried in vain: again later. */
  postpone(accountId: string, nowMs: number): Promise<void>;
  /** False: it was not open. */
  close(accountId: string, nowMs: number): Promise<boolean>;
}

interface CircuitRow {
  accountId: string;
  tenantId: string;
  reasonCode: string;
  detail: string;
  openedAt: Date;
  nextTryAt: Date;
  tries: number;
  closedAt: Date | null;
}

const firstWaitMs = 5000;
const longestWaitMs = 300_000;
/** A provider that is away comes back by itself, and one-time passwords of ten minutes wait for it. */
const longestDownWaitMs = 30_000;
/** One that opens again within this time was not mended. */
const relapseMs = 600_000;

const waitMs = (tries: number, reasonCode: string) =>
  Math.min(
    reasonCode === providerDown ? longestDownWaitMs : longestWaitMs,
    firstWaitMs * 2 ** Math.min(tries, 10),
  );

export function createCircuits(db: Database): Circuits {
  const rows = () => db<CircuitRow>('account_circuits');
  const insert = async (row: CircuitRow): Promise<boolean> => {
    try {
      await rows().insert(row);
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  };
  return {
    open: async ({ accountId, tenantId, reason, resumeAtMs, nowMs }) => {
      const before = await rows().where({ accountId }).first();
      if (before !== undefined && before.closedAt === null) return false;
      const isRelapse = nowMs - (before?.closedAt?.getTime() ?? 0) < relapseMs;
      const tries = isRelapse ? (before?.tries ?? 0) + 1 : 0;
      const row: CircuitRow = {
        accountId,
        tenantId,
        reasonCode: reason.code,
        detail: (reason.detail ?? '').slice(0, 600),
        openedAt: new Date(nowMs),
        nextTryAt: new Date(Math.max(resumeAtMs ?? 0, nowMs + waitMs(tries, reason.code))),
        tries,
        closedAt: null,
      };
      if (before === undefined) return insert(row);
      return (await rows().where({ accountId }).whereNotNull('closedAt').update(row)) === 1;
    },
    listOpen: async () =>
      (await rows().whereNull('closedAt').orderBy('nextTryAt')).map((row) => ({
        accountId: row.accountId,
        tenantId: row.tenantId,
        reason: { code: row.reasonCode, ...(row.detail !== '' && { detail: row.detail }) },
        openedAt: row.openedAt.toISOString(),
        nextTryAt: row.nextTryAt.toISOString(),
        tries: row.tries,
      })),
    postpone: async (accountId, nowMs) => {
      const row = await rows().where({ accountId }).first('tries', 'reasonCode');
      if (row === undefined) return;
      const tries = row.tries + 1;
      await rows()
        .where({ accountId })
        .update({ tries, nextTryAt: new Date(nowMs + waitMs(tries, row.reasonCode)) });
    },
    close: async (accountId, nowMs) =>
      (await rows()
        .where({ accountId })
        .whereNull('closedAt')
        .update({ closedAt: new Date(nowMs) })) === 1,
  };
}
