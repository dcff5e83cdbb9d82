/**
 * The audit log. Entries are only added: the answer is written into its entry once, and nothing here changes one. What is
 * older than the deployer keeps is removed by housekeeping, which says so in the log.
 */
import type { AuditEntry } from '../contracts/audit.ts';
import { inTransaction, type Database } from './database.ts';

export type AuditIntent = Pick<
  AuditEntry,
  'actor' | 'operationId' | 'tenantId' | 'target' | 'before' | 'requestId'
>;
/** `tenantId` and `targetId`: where they were not known before. */
export type AuditEnd = Pick<AuditEntry, 'status' | 'problem' | 'after' | 'tenantId'> & {
  readonly status: number;
  readonly targetId?: string | undefined;
};

/** What to search by; times are ISO 8601, from inclusive, to exclusive. */
export interface AuditFilter {
  readonly tenantId?: string | undefined;
  readonly actorId?: string | undefined;
  readonly operationId?: string | undefined;
  readonly targetType?: string | undefined;
  readonly targetId?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export interface Audit {
  /** Writes down that something is about to be done; resolves with the entry's id. */
  begin(intent: AuditIntent): Promise<string>;
  /** Writes down what it came to; an entry that has its end keeps it. */
  end(id: string, end: AuditEnd): Promise<void>;
  /** Newest first; those before the one with the id `after`. */
  list(
    filter: AuditFilter,
    page: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<AuditEntry[]>;
  /**
   * Removes at most `limit` entries from before a time, the oldest first, and writes down that it did, both or neither;
   * resolves with how many. Begins once the oldest is a day over, so that removing does not fill the log.
   */
  purge(beforeMs: number, limit: number): Promise<number>;
}

interface AuditRow {
  number: number;
  at: Date;
  actorId: string | null;
  actorName: string | null;
  operationId: string;
  tenantId: string | null;
  targetType: string | null;
  targetId: string | null;
  beforeState: string | null;
  afterState: string | null;
  requestId: string;
  status: number | null;
  problem: string | null;
}

const dayMs = 86_400_000;

export function createAudit(db: Database): Audit {
  const rows = () => db<AuditRow>('audit_log');
  return {
    begin: async ({ actor, operationId, tenantId, target, before, requestId }) => {
      const [number] = await rows().insert({
        at: new Date(),
        actorId: actor?.id ?? null,
        actorName: actor?.name ?? null,
        operationId,
        tenantId: tenantId ?? null,
        targetType: target?.type ?? null,
        targetId: target?.id ?? null,
        beforeState: toJson(before),
        afterState: null,
        requestId,
        status: null,
        problem: null,
      });
      return String(number);
    },
    end: async (id, { status, problem, after, tenantId, targetId }) => {
      await rows()
        .where({ number: Number(id) })
        .whereNull('status')
        .update({
          status,
          problem: problem ?? null,
          afterState: toJson(after),
          ...(tenantId !== undefined && { tenantId }),
          ...(targetId !== undefined && { targetId }),
        });
    },
    list: async ({ from, to, ...equal }, { after, limit }) => {
      const query = rows().orderBy('number', 'desc').limit(limit);
      for (const [column, value] of Object.entries(equal))
        if (value !== undefined) void query.where(column, value);
      if (from !== undefined) void query.where('at', '>=', new Date(from));
      if (to !== undefined) void query.where('at', '<', new Date(to));
      if (/^\d{1,15}$/.test(after ?? '')) void query.where('number', '<', Number(after));
      return (await query).map(toEntry);
    },
    purge: async (beforeMs, limit) => {
      const oldest = await rows().orderBy('number').limit(limit).select('number', 'at');
      const [first] = oldest;
      if (first === undefined || first.at.getTime() >= beforeMs - dayMs) return 0;
      // Their order is that of their times but for the clocks of several processes.
      const firstKept = oldest.findIndex(({ at }) => at.getTime() >= beforeMs);
      const last = oldest.at(firstKept === -1 ? -1 : firstKept - 1) ?? first;
      return inTransaction(db, async (trx) => {
        const removed = await trx<AuditRow>('audit_log')
          .whereBetween('number', [first.number, last.number])
          .delete();
        const after = {
          removed,
          first: { id: String(first.number), at: first.at.toISOString() },
          last: { id: String(last.number), at: last.at.toISOString() },
        };
        await trx('audit_log').insert({
          at: new Date(),
          actorId: 'jobs',
          actorName: 'jobs',
          operationId: 'purgeAudit',
          targetType: 'audit',
          afterState: toJson(after),
          requestId: 'housekeeping',
          status: 200,
        });
        return removed;
      });
    },
  };
}

function toJson(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function toEntry(row: AuditRow): AuditEntry {
  const { actorId, actorName, tenantId, targetType, targetId, beforeState, afterState } = row;
  return {
    id: String(row.number),
    at: row.at.toISOString(),
    ...(actorId !== null && { actor: { id: actorId, name: actorName ?? actorId } }),
    operationId: row.operationId,
    ...(tenantId !== null && { tenantId }),
    ...(targetType !== null && {
      target: { type: targetType, ...(targetId !== null && { id: targetId }) },
    }),
    ...(beforeState !== null && { before: JSON.parse(beforeState) }),
    ...(afterState !== null && { after: JSON.parse(afterState) }),
    requestId: row.requestId,
    ...(row.status !== null && { status: row.status }),
    ...(row.problem !== null && { problem: row.problem }),
  };
}
