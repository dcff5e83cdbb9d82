/** Members of batches whose person is erased before their turn. Their place in the block stays, empty, so that ids stay. */
import type { BatchMember } from '../contracts/batch.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import type { Sealer } from '../platform/seal.ts';
import { batchRows, blockRows, erasedPlaces, uploadRows, type BlockRow } from './batch-rows.ts';
import { blockContext } from './batch-uploads.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';

/** null: the person was erased. */
export type Place = BatchMember | null;

/** Whom an erasure is of, by keyed hash; what was uploaded until then goes. */
export interface ErasedRecipients {
  readonly tenantId: string;
  readonly recipientHashes: readonly string[];
  /** ISO time. */
  readonly until: string;
}

export interface BatchErasures {
  /**
   * Takes them out of every block that was not handed over. False: an upload that began before is still under way; call it
   * again. May be repeated.
   */
  eraseMembers(of: ErasedRecipients): Promise<boolean>;
}

/** Blocks hold up to 256 KiB. */
const blocksAtOnce = 20;

/** The members of a block, place by place. */
export function openBlock(sealer: Sealer, { uploadId, number, sealed }: BlockRow): Place[] {
  if (sealed === null) throw new Error(`block ${number} of ${uploadId} has no members`);
  // Written by us under a seal: nobody else can have made it.
  return JSON.parse(
    sealer.open(sealed, blockContext(uploadId, number)).toString('utf8'),
  ) as Place[];
}

/** The block without those who were erased since its upload began: in force from the moment the erasure is written. */
export async function withoutErased(
  trx: Transaction,
  sealer: Sealer,
  of: { readonly tenantId: string; readonly batchId: string; readonly block: BlockRow },
): Promise<BlockRow> {
  const since = uploadRows(trx).where({ id: of.block.uploadId }).select('createdAt');
  const erasures = await trx<{ tenantId: string; createdAt: Date; recipientHashes: string }>(
    'erasures',
  )
    .where({ tenantId: of.tenantId })
    .where('createdAt', '>=', since)
    .select('recipientHashes');
  const hashes = new Set(
    erasures.flatMap(({ recipientHashes }) => JSON.parse(recipientHashes) as string[]),
  );
  return hashes.size === 0 ? of.block : eraseFrom(trx, sealer, { ...of, hashes });
}

interface EraseFrom {
  readonly tenantId: string;
  readonly batchId: string;
  readonly block: BlockRow;
  readonly hashes: ReadonlySet<string>;
}

const isOneOf = (sealer: Sealer, { tenantId, hashes }: Pick<EraseFrom, 'tenantId' | 'hashes'>) => {
  return (member: Place) =>
    member !== null && hashes.has(hashRecipient(sealer, tenantId, member.to));
};

/** A member whose block is in hand may have gone already, and is then told twice: as erased, and as what the recall made of it. */
async function eraseFrom(trx: Transaction, sealer: Sealer, of: EraseFrom): Promise<BlockRow> {
  const { batchId, block } = of;
  const { uploadId, number } = block;
  const members = openBlock(sealer, block);
  const isErased = isOneOf(sealer, of);
  const gone = members.flatMap((member, place) => (isErased(member) ? [place] : []));
  if (gone.length === 0) return block;
  const left = members.map((member) => (isErased(member) ? null : member));
  const next = {
    sealed: sealer.seal(JSON.stringify(left), blockContext(uploadId, number)),
    erased: JSON.stringify([...erasedPlaces(block), ...gone]),
  };
  await blockRows(trx).where({ uploadId, number }).update(next);
  // Of an upload that is under way they are counted at its end.
  await batchRows(trx).where({ id: batchId, uploadId }).increment('erased', gone.length);
  return { ...block, ...next };
}

/** Makes it. */
export function createBatchErasures(db: Database, sealer: Sealer): BatchErasures {
  const eraseFromUpload = async (
    { id: uploadId, batchId }: { readonly id: string; readonly batchId: string },
    of: Pick<EraseFrom, 'tenantId' | 'hashes'>,
  ) => {
    for (let after = -1; ;) {
      const blocks = await blockRows(db)
        .where({ uploadId, isPublished: false })
        .where('number', '>', after)
        .whereNotNull('sealed')
        .orderBy('number')
        .limit(blocksAtOnce);
      const holding = blocks.filter((block) => openBlock(sealer, block).some(isOneOf(sealer, of)));
      for (const { number } of holding)
        await inTransaction(db, async (trx) => {
          const block = await blockRows(trx).where({ uploadId, number }).forUpdate().first();
          if (block !== undefined && block.sealed !== null)
            await eraseFrom(trx, sealer, { ...of, batchId, block });
        });
      const last = blocks.at(-1);
      if (last === undefined || blocks.length < blocksAtOnce) return;
      after = last.number;
    }
  };
  return {
    eraseMembers: async ({ tenantId, recipientHashes, until }) => {
      const ofTenant = batchRows(db).where({ tenantId });
      const before = () =>
        uploadRows(db)
          .whereIn('batchId', ofTenant.clone().select('id'))
          .where('createdAt', '<=', new Date(until));
      // Looked for first: what ends meanwhile is read below.
      const underWay = await before()
        .whereIn(
          'id',
          ofTenant.clone().where('uploadingUntil', '>', new Date()).select('uploadingId'),
        )
        .first('id');
      const uploads = await before()
        .whereExists(
          blockRows(db)
            .whereRaw('batch_blocks.upload_id = batch_uploads.id')
            .where({ isPublished: false })
            .whereNotNull('sealed'),
        )
        .select('id', 'batchId');
      const hashes = new Set(recipientHashes);
      for (const upload of uploads) await eraseFromUpload(upload, { tenantId, hashes });
      return underWay === undefined;
    },
  };
}
