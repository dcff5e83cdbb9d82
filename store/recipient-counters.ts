/** How many messages an address got lately through one account: the limits per recipient, shared by all workers. */
import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import type { RecipientWindow } from '../contracts/channel.ts';
import { problem } from '../contracts/problems.ts';
import { pause } from '../platform/lifecycle.ts';
import { createValidator } from '../platform/validate.ts';
import { isDuplicate, readJson, type Database } from './database.ts';

export interface AdmitRequest {
  readonly accountId: string;
  readonly recipientHash: string;
  readonly windows: readonly RecipientWindow[];
  /** The delivery that asks; the same for all its attempts. */
  readonly deliveryKey: string;
  readonly nowMs: number;
}

export type Admission =
  | { readonly admitted: true }
  /** `retryAfterMs`: when every window has room again, if nobody else is admitted before. */
  | { readonly admitted: false; readonly retryAfterMs: number };

export interface RecipientCounters {
  /**
   * Admits at most `count` deliveries in any `windowSeconds`, and counts the admitted one, in one atomic step between all
   * processes (their clocks' difference is the only slack). A delivery that asks again is never counted twice: its newer
   * time takes the older one's place, so while its earlier admission is in a window, that window admits it again.
   */
  admit(request: AdmitRequest): Promise<Admission>;
  /** The same for deliveries to different recipients, in few statements; one answer for each, in order. */
  admitAll(
    request: Pick<AdmitRequest, 'accountId' | 'windows' | 'nowMs'>,
    deliveries: readonly Pick<AdmitRequest, 'recipientHash' | 'deliveryKey'>[],
  ): Promise<readonly Admission[]>;
  /** Removes at most `limit` rows whose windows are all over; resolves with how many. */
  purge(nowMs: number, limit: number): Promise<number>;
}

/** When, and a short hash of which delivery. */
type Entry = [atMs: number, key: string];

interface CounterRow {
  accountId: string;
  recipientHash: string;
  entries: string;
  changeNumber: number;
  purgeAtMs: number;
}

const entriesValidator = createValidator(Type.Array(Type.Tuple([Type.Number(), Type.String()])));
// Each lost race means that somebody else was admitted, so the number of races is bounded by the window's count.
const maxRaces = 200;
const purgeMarginMs = 60_000;

export function createRecipientCounters(db: Database): RecipientCounters {
  const rows = () => db<CounterRow>('recipientCounters');

  /** One optimistic try; undefined: another process was faster. */
  const tryAdmit = async (request: AdmitRequest, key: string): Promise<Admission | undefined> => {
    const { accountId, recipientHash, windows, nowMs } = request;
    const row = await rows().where({ accountId, recipientHash }).first();
    const before =
      row === undefined
        ? []
        : (readJson(row.entries, entriesValidator, 'a recipient counter') as Entry[]);
    const longestMs = Math.max(...windows.map((window) => window.windowSeconds * 1000));
    const others = before.filter(([atMs, other]) => other !== key && atMs > nowMs - longestMs);
    const retryAfterMs = waitMs(
      others.map(([atMs]) => atMs),
      windows,
      nowMs,
    );
    if (retryAfterMs > 0) return { admitted: false, retryAfterMs };
    const next = {
      entries: JSON.stringify([...others, [nowMs, key]]),
      changeNumber: (row?.changeNumber ?? 0) + 1,
      purgeAtMs: nowMs + longestMs,
    };
    if (row === undefined) return insert({ accountId, recipientHash, ...next });
    const changed = await rows()
      .where({ accountId, recipientHash, changeNumber: row.changeNumber })
      .update(next);
    return changed === 1 ? { admitted: true } : undefined;
  };

  /** All or none; false: somebody else has counted one of them meanwhile. */
  const insertAll = async (fresh: readonly CounterRow[]): Promise<boolean> => {
    if (fresh.length === 0) return true;
    try {
      await rows().insert([...fresh]);
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  };

  const insert = async (row: CounterRow): Promise<Admission | undefined> => {
    try {
      await rows().insert(row);
      return { admitted: true };
    } catch (error) {
      if (isDuplicate(error)) return undefined;
      throw error;
    }
  };

  const admit = async (request: AdmitRequest): Promise<Admission> => {
    if (request.windows.length === 0) return { admitted: true };
    const key = keyOf(request.deliveryKey);
    for (let race = 0; race < maxRaces; race += 1) {
      const admission = await tryAdmit(request, key);
      if (admission !== undefined) return admission;
      await pause(Math.random() * 10);
    }
    throw problem('rate-limited', {
      retryAfterSeconds: 1,
      detail: 'One recipient is too busy.',
    });
  };

  return {
    admit,
    admitAll: async ({ accountId, windows, nowMs }, deliveries) => {
      if (windows.length === 0) return deliveries.map(() => ({ admitted: true }));
      const longestMs = Math.max(...windows.map((window) => window.windowSeconds * 1000));
      const hashes = deliveries.map(({ recipientHash }) => recipientHash);
      const known = new Set(
        (await rows().where({ accountId }).whereIn('recipientHash', hashes)).map(
          ({ recipientHash }) => recipientHash,
        ),
      );
      const fresh = deliveries.filter(({ recipientHash }) => !known.has(recipientHash));
      const areNew = await insertAll(
        fresh.map(({ recipientHash, deliveryKey }) => ({
          accountId,
          recipientHash,
          entries: JSON.stringify([[nowMs, keyOf(deliveryKey)]]),
          changeNumber: 1,
          purgeAtMs: nowMs + longestMs,
        })),
      );
      return Promise.all(
        deliveries.map(async ({ recipientHash, deliveryKey }) =>
          areNew && !known.has(recipientHash)
            ? { admitted: true as const }
            : admit({ accountId, windows, nowMs, recipientHash, deliveryKey }),
        ),
      );
    },
    purge: async (nowMs, limit) =>
      rows()
        .where('purgeAtMs', '<', nowMs - purgeMarginMs)
        .limit(limit)
        .delete(),
  };
}

const keyOf = (deliveryKey: string) =>
  createHash('sha256').update(deliveryKey).digest('base64url').slice(0, 16);

/** Milliseconds until every window has room for one more; 0: it has now. */
function waitMs(
  times: readonly number[],
  windows: readonly RecipientWindow[],
  nowMs: number,
): number {
  let wait = 0;
  for (const { count, windowSeconds } of windows) {
    const windowMs = windowSeconds * 1000;
    const inWindow = times.filter((atMs) => atMs > nowMs - windowMs).toSorted((a, b) => a - b);
    const mustLeave = inWindow[inWindow.length - count];
    if (mustLeave !== undefined) wait = Math.max(wait, mustLeave + windowMs - nowMs, 1);
  }
  return wait;
}
