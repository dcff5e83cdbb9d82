/** How much of a block its tenant's quotas per day let go when: all of it at once, or some today and the rest on later days. */
import { Type } from 'typebox';
import { createValidator } from '../platform/validate.ts';
import { blockRows, erasedPlaces, type BlockRow } from './batch-rows.ts';
import { readJson, type Transaction } from './database.ts';
import { takeOfDay, type DayLimit } from './quota-counters.ts';

const PortionSchema = Type.Object({
  /** It ends before this place of the block. */
  until: Type.Integer(),
  /** Of its messages: when they count as accepted. */
  acceptedAt: Type.String(),
});
export type Portion = Type.Static<typeof PortionSchema>;

const portionsValidator = createValidator(Type.Array(PortionSchema));

/** The portions of a block so far; none before it is taken. */
export function portionsOf(
  block: Pick<BlockRow, 'uploadId' | 'number' | 'members' | 'acceptedAt' | 'portions'>,
): readonly Portion[] {
  const { uploadId, number, members, acceptedAt, portions } = block;
  if (portions !== null)
    return readJson(portions, portionsValidator, `portions of block ${number} of ${uploadId}`);
  return acceptedAt === null ? [] : [{ until: members, acceptedAt: acceptedAt.toISOString() }];
}

/**
 * Counts what is left of a block against these quotas, as far as they reach, and resolves with its portions: none when
 * nothing of it may go yet. What was counted once is not counted again.
 */
export async function admitBlock(
  trx: Transaction,
  tenantId: string,
  { block, limits }: { readonly block: BlockRow; readonly limits: readonly DayLimit[] },
): Promise<readonly Portion[]> {
  const { uploadId, number, members } = block;
  const portions = portionsOf(block);
  const from = portions.at(-1)?.until ?? 0;
  if (from >= members) return portions;
  const erased = new Set(erasedPlaces(block));
  const due = Array.from({ length: members - from }, (_, at) => from + at).filter(
    (place) => !erased.has(place),
  );
  const now = new Date();
  const granted = await takeOfDay(trx, { tenantId, limits, wanted: due.length, now });
  if (granted === 0 && due.length > 0) return portions;
  const until = due[granted] ?? members;
  const next = [...portions, { until, acceptedAt: now.toISOString() }];
  const isWhole = from === 0 && until === members;
  await blockRows(trx)
    .where({ uploadId, number })
    .update({
      acceptedAt: block.acceptedAt ?? now,
      portions: isWhole ? null : JSON.stringify(next),
    });
  return next;
}
