/**
 * Who comes first, a chunk's batch call or the recall of one of its members: both lock the chunk's row. It also remembers which
 * members a call was begun for, in case its worker dies in it.
 */
import { Type } from 'typebox';
import { createValidator } from '../platform/validate.ts';
import { inTransaction, readJson, type Database } from './database.ts';

export interface ChunkClaim {
  readonly begunAtMs: number;
  /** Places of the members that the call was begun for. */
  readonly places: readonly number[];
}

export interface ChunkClaims {
  /** Begins a call for these members but those that were recalled; gives the places of the latter. */
  begin(claim: {
    readonly chunkId: string;
    readonly members: readonly { readonly place: number; readonly id: string }[];
    readonly nowMs: number;
  }): Promise<readonly number[]>;
  /** The call that was begun and not called off. */
  find(chunkId: string): Promise<ChunkClaim | undefined>;
  /** The call has taken nothing: members may be recalled again. */
  callOff(chunkId: string): Promise<void>;
  /** Recalls a member; `under-way`: a call was begun, so that only a later one leaves it out. */
  recall(of: {
    readonly chunkId: string;
    readonly messageId: string;
    readonly nowMs: number;
  }): Promise<'recalled' | 'under-way'>;
  /** Ids of the members that were recalled. */
  recalled(chunkId: string): Promise<ReadonlySet<string>>;
  /** Removes at most `limit` rows of each table that are older; resolves with how many. */
  purge(beforeMs: number, limit: number): Promise<number>;
}

interface ClaimRow {
  id: string;
  begunAtMs: number | null;
  places: string;
  touchedAtMs: number;
}
interface RecallRow {
  chunkId: string;
  messageId: string;
  createdAtMs: number;
}

const placesValidator = createValidator(Type.Array(Type.Integer({ minimum: 0 })));

export function createChunkClaims(db: Database): ChunkClaims {
  const recalled = async (from: Database, chunkId: string) =>
    new Set(
      (await from<RecallRow>('chunk_recalls').where({ chunkId })).map(({ messageId }) => messageId),
    );
  return {
    begin: ({ chunkId, members, nowMs }) =>
      inTransaction(db, async (trx) => {
        const claims = trx<ClaimRow>('chunk_claims');
        const row = { id: chunkId, begunAtMs: nowMs, places: '[]', touchedAtMs: nowMs };
        // The write locks the row, so that what is read next is all that was recalled before.
        await claims.clone().insert(row).onConflict('id').merge();
        const gone = await recalled(trx, chunkId);
        const places = members.flatMap(({ place, id }) => (gone.has(id) ? [] : [place]));
        await claims
          .clone()
          .where({ id: chunkId })
          .update({ places: JSON.stringify(places) });
        return members.flatMap(({ place, id }) => (gone.has(id) ? [place] : []));
      }),
    find: async (chunkId) => {
      const row = await db<ClaimRow>('chunk_claims').where({ id: chunkId }).first();
      if (row === undefined || row.begunAtMs === null) return undefined;
      const places = readJson(row.places, placesValidator, 'a chunk claim');
      return { begunAtMs: row.begunAtMs, places };
    },
    callOff: async (chunkId) =>
      void (await db<ClaimRow>('chunk_claims').where({ id: chunkId }).update({ begunAtMs: null })),
    recall: ({ chunkId, messageId, nowMs }) =>
      inTransaction(db, async (trx) => {
        const claims = trx<ClaimRow>('chunk_claims');
        const row = { id: chunkId, begunAtMs: null, places: '[]', touchedAtMs: nowMs };
        await claims.clone().insert(row).onConflict('id').ignore();
        const claim = await claims.clone().where({ id: chunkId }).forUpdate().first();
        await trx<RecallRow>('chunk_recalls')
          .insert({ chunkId, messageId, createdAtMs: nowMs })
          .onConflict(['chunkId', 'messageId'])
          .ignore();
        return claim?.begunAtMs == null ? 'recalled' : 'under-way';
      }),
    recalled: (chunkId) => recalled(db, chunkId),
    purge: async (beforeMs, limit) => {
      const claims = await db<ClaimRow>('chunk_claims')
        .where('touchedAtMs', '<', beforeMs)
        .limit(limit)
        .delete();
      const recalls = await db<RecallRow>('chunk_recalls')
        .where('createdAtMs', '<', beforeMs)
        .limit(limit)
        .delete();
      return claims + recalls;
    },
  };
}
