/** Receipts that came before we knew the message they speak of; tried again until matched or too old. */
import { createHash } from 'node:crypto';
import { Model, raw } from 'objection';
import { ReceiptSchema, type Receipt } from '../contracts/result.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { inTransaction, isDuplicate, readJson, type Database } from './database.ts';
import type { SealedColumn } from './sealed-columns.ts';

export interface ParkedReceipt {
  readonly id: string;
  readonly receipt: Receipt;
  readonly parkedAt: string;
  /** How often it was due before. */
  readonly tries: number;
}

export interface ParkedReceipts {
  /** Keeps a receipt; the same receipt again changes nothing. */
  park(receipt: Receipt, nextTryAtMs: number): Promise<void>;
  /** Takes what is due; what is neither settled nor postponed within a minute is due again, for anyone. */
  due(nowMs: number, limit: number): Promise<ParkedReceipt[]>;
  /** It is dealt with: forget it. */
  settle(id: string): Promise<void>;
  postpone(id: string, nextTryAtMs: number): Promise<void>;
  /** Those parked before `parkedBeforeMs`, oldest first: tell that nobody matched them, then settle. */
  expired(parkedBeforeMs: number, limit: number): Promise<ParkedReceipt[]>;
}

class ParkedRow extends Model {
  static override tableName = 'parked_receipts';
  declare id: string;
  declare receipt: string;
  declare tries: number;
  declare parkedAt: Date;
  declare nextTryAt: Date;
}

const context = ({ id }: { id: string }) => `receipt:${id}`;

export const sealedReceipts: SealedColumn<{ id: string }> = {
  what: 'parked receipts',
  table: 'parkedReceipts',
  column: 'receipt',
  keys: ['id'],
  form: 'direct',
  context,
};

const claimMs = 60_000;
const receiptValidator = createValidator(ReceiptSchema);

export function createParkedReceipts(db: Database, sealer: Sealer): ParkedReceipts {
  const toParked = (row: ParkedRow): ParkedReceipt => ({
    id: row.id,
    receipt: readJson(
      sealer.open(row.receipt, context(row)).toString('utf8'),
      receiptValidator,
      `parked receipt ${row.id}`,
    ),
    parkedAt: row.parkedAt.toISOString(),
    tries: row.tries,
  });
  return {
    park: async (receipt, nextTryAtMs) => {
      const id = receiptId(receipt);
      try {
        await ParkedRow.query(db).insert({
          id,
          receipt: sealer.seal(JSON.stringify(receipt), context({ id })),
          tries: 0,
          parkedAt: new Date(),
          nextTryAt: new Date(nextTryAtMs),
        });
      } catch (error) {
        if (!isDuplicate(error)) throw error;
      }
    },
    due: (nowMs, limit) =>
      inTransaction(db, async (trx) => {
        const rows = await ParkedRow.query(trx)
          .where('nextTryAt', '<=', new Date(nowMs))
          .orderBy('nextTryAt')
          .limit(limit)
          .forUpdate()
          .skipLocked();
        const ids = rows.map((row) => row.id);
        if (ids.length > 0)
          await ParkedRow.query(trx)
            .whereIn('id', ids)
            .patch({ nextTryAt: new Date(nowMs + claimMs), tries: raw('tries + 1') as never });
        return rows.map(toParked);
      }),
    settle: async (id) => void (await ParkedRow.query(db).deleteById(id)),
    postpone: async (id, nextTryAtMs) =>
      void (await ParkedRow.query(db)
        .findById(id)
        .patch({ nextTryAt: new Date(nextTryAtMs) })),
    expired: async (parkedBeforeMs, limit) => {
      const rows = await ParkedRow.query(db)
        .where('parkedAt', '<', new Date(parkedBeforeMs))
        .orderBy('parkedAt')
        .limit(limit);
      return rows.map(toParked);
    },
  };
}

/** What makes two receipts the same: who speaks, of which delivery, and what it says. */
function receiptId(receipt: Receipt): string {
  const { accountId, deliveryKey = null, providerId = null, status } = receipt;
  const text = JSON.stringify([accountId, deliveryKey, providerId, status]);
  return `rcp_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
}
