/** What people edit as one document of a tenant. Version 1 is the default, which has no row. */
import { problem } from '../contracts/problems.ts';
import type { Validator } from '../platform/validate.ts';
import { inTransaction, readJson, type Database } from './database.ts';
import { nextRevision, type Change } from './revisions.ts';

export interface TenantDocuments<Edit, Document> {
  /** The default for a tenant that has none. */
  get(tenantId: string): Promise<Document>;
  /** Replaces it. Errors: version-conflict. */
  put(tenantId: string, expectedVersion: number, edit: Edit): Promise<Document>;
  changedSince(revision: number, limit: number): Promise<Change<KnownDocument<Document>>[]>;
}

export interface KnownDocument<Document> {
  readonly tenantId: string;
  readonly document: Document;
}

export interface TenantDocumentsOptions<Edit, Document> {
  readonly table: string;
  /** Holds the document as JSON. */
  readonly column: string;
  /** What it is, in words. */
  readonly what: string;
  readonly validator: Validator<Edit>;
  /** What a tenant has that never edited it; what an older document lacks is taken from it. */
  readonly initial: Document;
}

interface Row {
  readonly tenantId: string;
  readonly version: number;
  readonly revision: number;
}

export function createTenantDocuments<
  Edit extends object,
  Document extends Edit & { readonly version: number },
>(db: Database, options: TenantDocumentsOptions<Edit, Document>): TenantDocuments<Edit, Document> {
  const { table, column, what, validator, initial } = options;
  const read = (row: Row): Document => {
    const text = (row as unknown as Record<string, string>)[column] ?? '';
    const edit = readJson<Edit>(text, validator, `the ${what} of ${row.tenantId}`);
    return { ...initial, ...edit, version: row.version };
  };
  return {
    get: async (tenantId) => {
      const row = await db<Row>(table).where({ tenantId }).first();
      return row === undefined ? initial : read(row);
    },
    put: (tenantId, expectedVersion, edit) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'tenants');
        const before = await trx<Row>(table).where({ tenantId }).first('version');
        const current = before?.version ?? initial.version;
        if (current !== expectedVersion)
          throw problem('version-conflict', {
            detail: `You read version ${expectedVersion}; it is version ${current} now.`,
            errors: [{ pointer: 'header/if-match', detail: `is not the current "${current}"` }],
          });
        const row = { tenantId, version: current + 1, revision };
        const text = { [column]: JSON.stringify(edit), updatedAt: new Date() };
        await trx(table)
          .insert({ ...row, ...text })
          .onConflict('tenantId')
          .merge();
        return read({ ...row, ...text });
      }),
    changedSince: async (revision, limit) => {
      const rows = (await db(table)
        .where('revision', '>', revision)
        .orderBy('revision')
        .limit(limit)) as Row[];
      return rows.map((row) => ({
        id: row.tenantId,
        revision: row.revision,
        read: () => ({ tenantId: row.tenantId, document: read(row) }),
      }));
    },
  };
}
