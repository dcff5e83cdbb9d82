/** Recalls and pauses by batch, template, tenant and account. What bridge and worker obey is `store/open-stops.ts`. */
import type { Stop, StopAction, StopScope } from '../contracts/stops.ts';
import { problem } from '../contracts/problems.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { createId } from './ids.ts';
import { nextRevision, type Change } from './revisions.ts';

export interface Stops {
  /** A recall is of what was accepted until now. A scope that is paused already keeps its pause, which is given back. */
  create(stop: {
    readonly action: StopAction;
    readonly scope: StopScope;
    readonly tenantId: string;
    readonly reason: string;
  }): Promise<Stop>;
  /** Ends a pause; one that has ended stays as it is. Errors: not-found, recall-final. */
  resume(id: string): Promise<Stop>;
  get(id: string): Promise<Stop | undefined>;
  /** The pause of a scope that is in force. */
  pauseOf(tenantId: string, scope: StopScope): Promise<Stop | undefined>;
  /** Newest first; those before the one with the id `after`. */
  list(page: {
    readonly tenantId?: string | undefined;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<Stop[]>;
  /** The number of the newest change. */
  revision(): Promise<number>;
  changedSince(revision: number, limit: number): Promise<Change<Stop>[]>;
  /** Recalls and ended pauses whose messages have not all been told of it. */
  listUnswept(): Promise<Stop[]>;
  markSwept(id: string): Promise<void>;
  /** Removes at most `limit` stops that nothing can wait under any more; resolves with how many. */
  purge(createdBeforeMs: number, limit: number): Promise<number>;
}

export interface StopRow {
  id: string;
  action: StopAction;
  scopeKind: StopScope['kind'];
  scopeValue: string;
  tenantId: string;
  acceptedBefore: Date | null;
  reason: string;
  createdAt: Date;
  endedAt: Date | null;
  sweptAt: Date | null;
  revision: number;
}

export function createStops(db: Database): Stops {
  const rows = (on: Database | Transaction = db) => on<StopRow>('stops');
  const pauses = (tenantId: string, { kind, value }: StopScope) => ({
    tenantId,
    scopeKind: kind,
    scopeValue: value,
    action: 'pause' as const,
    endedAt: null,
  });
  return {
    create: async ({ action, scope, tenantId, reason }) => {
      return inTransaction(db, async (trx) => {
        // Its lock lets one in at a time, so that a scope has one pause.
        const revision = await nextRevision(trx, 'stops');
        // After the lock: a block of a batch that was taken before it counts as accepted before.
        const now = new Date();
        const paused =
          action === 'pause' ? await rows(trx).where(pauses(tenantId, scope)).first() : undefined;
        if (paused !== undefined) return toStop(paused);
        const row: StopRow = {
          id: createId('stp'),
          action,
          scopeKind: scope.kind,
          scopeValue: scope.value,
          tenantId,
          acceptedBefore: action === 'recall' ? now : null,
          reason,
          createdAt: now,
          endedAt: null,
          // Its erasure looks after the runs.
          sweptAt: scope.kind === 'recipient' ? now : null,
          revision,
        };
        await rows(trx).insert(row);
        return toStop(row);
      });
    },
    resume: (id) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'stops');
        const row = await rows(trx).where({ id }).first();
        if (row === undefined)
          throw problem('not-found', { detail: `There is no stop with the id "${id}".` });
        if (row.action === 'recall')
          throw problem('recall-final', {
            detail: 'What was recalled has ended; messages accepted after the recall are sent.',
          });
        if (row.endedAt !== null) return toStop(row);
        const ended = { endedAt: new Date(), revision };
        await rows(trx).where({ id }).update(ended);
        return toStop({ ...row, ...ended });
      }),
    get: async (id) => {
      const row = await rows().where({ id }).first();
      return row === undefined ? undefined : toStop(row);
    },
    pauseOf: async (tenantId, scope) => {
      const row = await rows().where(pauses(tenantId, scope)).first();
      return row === undefined ? undefined : toStop(row);
    },
    list: async ({ tenantId, after, limit }) => {
      const query = rows().orderBy('createdAt', 'desc').orderBy('id', 'desc').limit(limit);
      if (tenantId !== undefined) void query.where({ tenantId });
      const last = after === undefined ? undefined : await rows().where({ id: after }).first();
      if (last !== undefined)
        void query.where((older) =>
          older
            .where('createdAt', '<', last.createdAt)
            .orWhere((same) =>
              same.where('createdAt', last.createdAt).andWhere('id', '<', last.id),
            ),
        );
      return (await query).map(toStop);
    },
    revision: async () => {
      const row = await db<{ kind: string; number: number }>('revisions')
        .where({ kind: 'stops' })
        .first('number');
      if (row === undefined) throw new Error('revisions has no row for stops');
      return row.number;
    },
    changedSince: async (revision, limit) =>
      (await rows().where('revision', '>', revision).orderBy('revision').limit(limit)).map(
        (row) => ({ id: row.id, revision: row.revision, read: () => toStop(row) }),
      ),
    listUnswept: async () =>
      (
        await rows()
          .whereNull('sweptAt')
          .where((either) => either.where({ action: 'recall' }).orWhereNotNull('endedAt'))
          .orderBy('createdAt')
          .limit(100)
      ).map(toStop),
    markSwept: async (id) => void (await rows().where({ id }).update({ sweptAt: new Date() })),
    // A pause that nobody has resumed stays in force, however old.
    purge: (createdBeforeMs, limit) =>
      rows()
        .where('createdAt', '<', new Date(createdBeforeMs))
        .whereNotNull('sweptAt')
        .limit(limit)
        .delete(),
  };
}

export function toStop(row: StopRow): Stop {
  const { id, action, tenantId, acceptedBefore, reason, createdAt, endedAt, revision } = row;
  return {
    id,
    action,
    scope: { kind: row.scopeKind, value: row.scopeValue },
    tenantId,
    ...(acceptedBefore !== null && { acceptedBefore: acceptedBefore.toISOString() }),
    reason,
    createdAt: createdAt.toISOString(),
    ...(endedAt !== null && { endedAt: endedAt.toISOString() }),
    revision,
  };
}
