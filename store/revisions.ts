/** One number per kind of edited thing; whoever caches that kind reads the number to learn that something changed. */
import type { Database, Transaction } from './database.ts';

export const revisionKinds = [
  'tenants',
  'api-keys',
  'templates',
  'channel-accounts',
  'stops',
  'webhook-endpoints',
  'day-keys',
] as const;
export type RevisionKind = (typeof revisionKinds)[number];

/** A changed row as a cache reads it: rows of a kind come in the order of their edits. */
export interface Change<Entry> {
  readonly id: string;
  readonly revision: number;
  /** Errors: the row is not readable; the others are all the same. */
  readonly read: () => Entry;
}

export interface Revisions {
  /** The number of every kind now. */
  read(): Promise<Readonly<Record<RevisionKind, number>>>;
}

interface RevisionRow {
  kind: RevisionKind;
  number: number;
}

export function createRevisions(db: Database): Revisions {
  return {
    read: async () => {
      const rows = await db<RevisionRow>('revisions').select('kind', 'number');
      const numbers = Object.fromEntries(rows.map((row) => [row.kind, row.number]));
      return numbers as Record<RevisionKind, number>;
    },
  };
}

/**
 * Counts up a kind's revision, to be stamped on the edited row. Call it first in the transaction: the row's lock lets edits
 * of one kind through one at a time, so that commits come in the order of their numbers and no reader skips one.
 */
export function nextRevision(trx: Transaction, kind: RevisionKind): Promise<number> {
  return nextRevisions(trx, kind, 1);
}

/** The same for `count` rows that are edited together: the last one's; the others have those just below. */
export async function nextRevisions(
  trx: Transaction,
  kind: RevisionKind,
  count: number,
): Promise<number> {
  await trx('revisions').where({ kind }).increment('number', count);
  const row = await trx<RevisionRow>('revisions').where({ kind }).first('number');
  if (row === undefined) throw new Error(`revisions has no row for ${kind}`);
  return row.number;
}
