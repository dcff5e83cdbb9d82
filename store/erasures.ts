/**
 * Erasures: people who asked to be forgotten. A row holds keyed hashes of their addresses and nothing else of them. What
 * says that they want no messages (suppressions, opt-outs) stays, by its hash: forgetting that would write to them again.
 * So does what they agreed to, without the evidence: it proves that what was sent was sent with their consent.
 */
import { Type } from 'typebox';
import type { Erasure } from '../contracts/erasures.ts';
import { addressAs, type To } from '../contracts/message.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { inTransaction, readJson, type Database } from './database.ts';
import { createId } from './ids.ts';
import { removeItems } from './inbox-purge.ts';
import { items, ownerOf } from './inbox-rows.ts';

export interface DueErasure {
  readonly erasure: Erasure;
  readonly tenantId: string;
  readonly recipientHashes: readonly string[];
  /** Whether no block of a batch that waits has the person any more. */
  readonly areMembersCleared: boolean;
}

export interface Erasures {
  /** Begins one for all these addresses of one person. */
  create(of: {
    readonly tenantId: string;
    readonly addresses: readonly To[];
    /** When the last sealed copy is gone by age, epoch milliseconds. */
    readonly goneByMs: number;
  }): Promise<DueErasure>;
  get(tenantId: string, id: string): Promise<Erasure | undefined>;
  /** Those that are to be looked after now. */
  listDue(nowMs: number): Promise<readonly DueErasure[]>;
  /** Removes what was registered of the person before they asked: addresses, devices, evidence, inbox. May be repeated. */
  clear(id: string): Promise<void>;
  /** No block of a batch that was uploaded before has the person any more. */
  markMembersCleared(id: string): Promise<void>;
  /** Writes down a look: `nextLookMs` undefined: the last one. */
  save(
    id: string,
    look: { readonly erased: number; readonly isDone: boolean; readonly nextLookMs?: number },
  ): Promise<void>;
}

interface ErasureRow {
  id: string;
  tenantId: string;
  recipientHashes: string;
  inboxOwner: string | null;
  messages: number;
  createdAt: Date;
  doneAt: Date | null;
  goneBy: Date;
  nextLookAt: Date | null;
  membersClearedAt: Date | null;
}

const hashes = createValidator(Type.Array(Type.String()));
const itemsAtOnce = 500;

export function createErasures(db: Database, sealer: Sealer): Erasures {
  const rows = () => db<ErasureRow>('erasures');
  const readHashes = (row: ErasureRow) =>
    readJson<string[]>(row.recipientHashes, hashes, 'the hashes of an erasure');
  const toDue = (row: ErasureRow): DueErasure => ({
    erasure: toErasure(row),
    tenantId: row.tenantId,
    recipientHashes: readHashes(row),
    areMembersCleared: row.membersClearedAt !== null,
  });
  const clearInbox = async (owner: string, createdAt: Date) => {
    for (;;) {
      const found = await items(db)
        .where({ owner })
        .where('createdAt', '<=', createdAt)
        .limit(itemsAtOnce)
        .select('number');
      if (found.length === 0) return;
      await removeItems(
        db,
        owner,
        found.map(({ number }) => number),
      );
    }
  };
  return {
    create: async ({ tenantId, addresses, goneByMs }) => {
      const userId = addresses.flatMap((to) => addressAs('userId', to) ?? [])[0];
      const row: ErasureRow = {
        id: createId('ers'),
        tenantId,
        recipientHashes: JSON.stringify([
          ...new Set(addresses.map((to) => hashRecipient(sealer, tenantId, to))),
        ]),
        inboxOwner: userId === undefined ? null : ownerOf(sealer, { tenantId, userId }),
        messages: 0,
        createdAt: new Date(),
        doneAt: null,
        goneBy: new Date(goneByMs),
        nextLookAt: new Date(),
        membersClearedAt: null,
      };
      await rows().insert(row);
      return toDue(row);
    },
    get: async (tenantId, id) => {
      const row = await rows().where({ tenantId, id }).first();
      return row === undefined ? undefined : toErasure(row);
    },
    listDue: async (nowMs) =>
      (await rows().where('nextLookAt', '<=', new Date(nowMs)).orderBy('nextLookAt').limit(20)).map(
        toDue,
      ),
    clear: async (id) => {
      const row = await rows().where({ id }).first();
      if (row === undefined) return;
      const { tenantId, createdAt, inboxOwner } = row;
      await inTransaction(db, async (trx) => {
        // A user's rows are found by the hash of a message to their userId.
        for (const [table, time] of [
          ['people', 'updatedAt'],
          ['devices', 'registeredAt'],
        ] as const)
          await trx(table)
            .where({ tenantId })
            .whereIn('userHash', readHashes(row))
            .where(time, '<=', createdAt)
            .delete();
        await trx('consents')
          .where({ tenantId })
          .whereIn('recipientHash', readHashes(row))
          .where('recordedAt', '<=', createdAt)
          .whereNot('sealed', '')
          .update({ sealed: '' });
      });
      if (inboxOwner !== null) await clearInbox(inboxOwner, createdAt);
    },
    markMembersCleared: async (id) =>
      void (await rows().where({ id }).update({ membersClearedAt: new Date() })),
    save: async (id, { erased, isDone, nextLookMs }) => {
      await rows()
        .where({ id })
        .increment('messages', erased)
        .update({ nextLookAt: nextLookMs === undefined ? null : new Date(nextLookMs) });
      if (isDone) await rows().where({ id }).whereNull('doneAt').update({ doneAt: new Date() });
    },
  };
}

function toErasure({ id, messages, createdAt, doneAt, goneBy }: ErasureRow): Erasure {
  return {
    id,
    state: doneAt === null ? 'running' : 'done',
    messages,
    createdAt: createdAt.toISOString(),
    ...(doneAt !== null && { doneAt: doneAt.toISOString() }),
    goneBy: goneBy.toISOString(),
  };
}
