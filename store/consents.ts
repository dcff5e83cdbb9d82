/**
 * Consent records: what people have agreed to and taken back. Only added to; the newest word holds. An erasure takes away
 * the recipient and the evidence; the keyed hash, and what was said when, stays as the proof.
 */
import { Type } from 'typebox';
import type { Consent, ConsentAction, Purpose } from '../contracts/consents.ts';
import { ToSchema, type To } from '../contracts/message.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { inTransaction, readJson, type Database } from './database.ts';
import { keepWord } from './opt-outs.ts';
import type { SealedColumn } from './sealed-columns.ts';
import { everyChannel } from './suppressions.ts';

export type ConsentEntry = Omit<Consent, 'id' | 'recordedAt'> & {
  readonly tenantId: string;
  readonly recipientHash: string;
};
/** A person's newest word. `at`: ISO time. */
export interface ConsentWord {
  readonly action: ConsentAction;
  readonly at: string;
}
export interface ConsentPlace {
  readonly tenantId: string;
  readonly purpose: Purpose;
  readonly channel: string;
}
export interface ConsentFilter {
  readonly recipientHash?: string | undefined;
  readonly purpose?: Purpose | undefined;
  readonly channel?: string | undefined;
  readonly action?: ConsentAction | undefined;
}

export interface Consents {
  /**
   * Adds a record; the same content at the same time is one record, and `isNew` false. A word on marketing is kept as an
   * opt-out, or the end of one, too.
   */
  record(entry: ConsentEntry): Promise<{ readonly consent: Consent; readonly isNew: boolean }>;
  /** The newest word of each of these people there, by hash; who never said anything is not in it. */
  newest(
    place: ConsentPlace,
    recipientHashes: readonly string[],
  ): Promise<ReadonlyMap<string, ConsentWord>>;
  get(tenantId: string, id: string): Promise<Consent | undefined>;
  /** Last recorded first; those before the one with the id `after`. */
  list(
    tenantId: string,
    filter: ConsentFilter,
    page: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<readonly Consent[]>;
}

interface ConsentRow {
  id: string;
  tenantId: string;
  recipientHash: string;
  purpose: Purpose;
  channel: string;
  action: ConsentAction;
  occurredAt: Date;
  recordedAt: Date;
  source: string;
  textVersion: string | null;
  locale: string | null;
  /** '': its person was erased. */
  sealed: string;
}

const ProofSchema = Type.Object({
  to: Type.Optional(ToSchema),
  evidence: Type.Optional(Type.String()),
});
const proofs = createValidator(ProofSchema);

type ConsentRowKey = Pick<ConsentRow, 'id'>;
const context = ({ id }: ConsentRowKey) => `consent:${id}`;

export const sealedConsents: SealedColumn<ConsentRowKey> = {
  what: 'consents',
  table: 'consents',
  column: 'sealed',
  keys: ['id'],
  form: 'direct',
  context,
};

export function createConsents(db: Database, sealer: Sealer): Consents {
  const rows = () => db<ConsentRow>('consents');
  const toConsent = (row: ConsentRow): Consent => {
    const { id, action, purpose, channel, source, textVersion, locale, sealed } = row;
    const proof: { to?: To; evidence?: string } =
      sealed === ''
        ? {}
        : readJson(sealer.open(sealed, context(row)).toString('utf8'), proofs, 'a consent');
    return {
      id,
      ...proof,
      action,
      purpose,
      ...(channel !== everyChannel && { channel }),
      source,
      ...(textVersion !== null && { textVersion }),
      ...(locale !== null && { locale }),
      occurredAt: row.occurredAt.toISOString(),
      recordedAt: row.recordedAt.toISOString(),
    };
  };
  return {
    record: async (entry) => {
      const { tenantId, recipientHash, purpose, action, source, to, evidence } = entry;
      const channel = entry.channel ?? everyChannel;
      const occurredAt = new Date(entry.occurredAt);
      const textVersion = entry.textVersion ?? null;
      const said = [tenantId, recipientHash, purpose, channel, action, source, textVersion];
      const id = `cns_${sealer.hash(JSON.stringify([...said, occurredAt]), 'consent')}`;
      const proof = {
        ...(to !== undefined && { to }),
        ...(evidence !== undefined && { evidence }),
      };
      const row: ConsentRow = {
        id,
        tenantId,
        recipientHash,
        purpose,
        channel,
        action,
        occurredAt,
        source,
        recordedAt: new Date(),
        textVersion,
        locale: entry.locale ?? null,
        sealed: sealer.seal(JSON.stringify(proof), context({ id })),
      };
      await inTransaction(db, async (trx) => {
        await trx('consents').insert(row).onConflict('id').ignore();
        if (purpose === 'marketing')
          await keepWord(trx, {
            tenantId,
            channel,
            recipientHash,
            isOut: action === 'withdrawn',
            how: source,
            occurredAt: entry.occurredAt,
          });
      });
      const kept = await rows().where({ id }).first();
      if (kept === undefined) throw new Error('a consent is not there after it was written');
      return { consent: toConsent(kept), isNew: kept.sealed === row.sealed };
    },
    newest: async ({ tenantId, purpose, channel }, recipientHashes) => {
      // Of two words at one moment the withdrawal holds.
      const ranked = rows()
        .select('recipientHash', 'action', 'occurredAt')
        .rowNumber('place', (over) =>
          over.partitionBy('recipientHash').orderBy([
            { column: 'occurredAt', order: 'desc' },
            { column: 'action', order: 'desc' },
          ]),
        )
        .where({ tenantId, purpose })
        .whereIn('channel', [channel, everyChannel])
        .whereIn('recipientHash', [...recipientHashes])
        .as('ranked');
      const found: Pick<ConsentRow, 'recipientHash' | 'action' | 'occurredAt'>[] = await db
        .from(ranked)
        .where('place', 1);
      return new Map(
        found.map(({ recipientHash, action, occurredAt }) => [
          recipientHash,
          { action, at: occurredAt.toISOString() },
        ]),
      );
    },
    get: async (tenantId, id) => {
      const row = await rows().where({ tenantId, id }).first();
      return row && toConsent(row);
    },
    list: async (tenantId, filter, { after, limit }) => {
      const query = rows().where({ tenantId }).orderBy('number', 'desc').limit(limit);
      for (const [column, value] of Object.entries(filter))
        if (value !== undefined) void query.where(column, value);
      if (after !== undefined)
        void query.where(
          'number',
          '<',
          db('consents').where({ tenantId, id: after }).select('number'),
        );
      return (await query).map(toConsent);
    },
  };
}
