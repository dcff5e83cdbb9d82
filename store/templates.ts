/**
 * Templates in force. Every edit adds a version that never changes again, so that what is on its way renders as it was
 * pinned. Of what is not published, store/template-versions.ts, nothing is to be seen here.
 */
import type { Template, TemplateEdit } from '../contracts/template.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { nextRevision, type Change } from './revisions.ts';
import {
  insertTemplate,
  insertVersion,
  liveTemplate,
  nextVersion,
  requireSameName,
  TemplateRow,
  toTemplate,
  VersionRow,
} from './template-rows.ts';
import type { PageRequest } from './tenants.ts';

/** A template for a cache; a deleted one with its last version. */
export interface KnownTemplate {
  readonly template: Template;
  readonly isDeleted: boolean;
}

/** A text and who wrote it. */
export interface Written {
  readonly edit: TemplateEdit;
  readonly by?: string | undefined;
}

export interface Templates {
  /** In force at once. `by`: who wrote it. Errors: name-taken. */
  create(tenantId: string, edit: TemplateEdit, by?: string): Promise<Template>;
  /** In force at once. Errors: not-found, version-conflict, validation-failed (the name cannot change). */
  update(id: string, expectedVersion: number, written: Written): Promise<Template>;
  /** Its versions stay, for what is queued. Errors: not-found, version-conflict. */
  remove(id: string, expectedVersion: number): Promise<Template>;
  get(id: string): Promise<Template | undefined>;
  /** By name; `name` leaves only that one. */
  list(tenantId: string, page: PageRequest & { name?: string | undefined }): Promise<Template[]>;
  /** The live template of this name, or else the one that had it last: for messages that were accepted before a delete. */
  findByName(tenantId: string, name: string): Promise<KnownTemplate | undefined>;
  /** One version's text, whatever became of the template. */
  version(tenantId: string, name: string, version: number): Promise<Template | undefined>;
  changedSince(revision: number, limit: number): Promise<Change<KnownTemplate>[]>;
}

type JoinedRow = Pick<
  TemplateRow,
  'id' | 'tenantId' | 'version' | 'revision' | 'createdAt' | 'updatedAt' | 'deletedAt'
> &
  Pick<VersionRow, 'definition'>;

export function createTemplates(db: Database): Templates {
  const joined = () =>
    TemplateRow.query(db)
      .join('templateVersions as v', (on) =>
        on.on('v.templateId', 'templates.id').andOn('v.version', 'templates.version'),
      )
      .select('templates.*', 'v.definition')
      .castTo<JoinedRow[]>();

  return {
    create: (tenantId, edit, by) =>
      inTransaction(db, (trx) => createPublished(trx, tenantId, { edit, by })),

    update: (id, expectedVersion, written) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'templates');
        const row = await liveTemplate(trx, id, expectedVersion);
        requireSameName(row, written.edit);
        return publishNext(trx, Object.assign(row, { revision }), written);
      }),

    remove: (id, expectedVersion) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'templates');
        const row = await liveTemplate(trx, id, expectedVersion);
        const version = await VersionRow.query(trx).findById([row.tenantId, row.name, row.version]);
        if (version === undefined) throw new Error(`template ${id} has no version ${row.version}`);
        await TemplateRow.query(trx)
          .findById(id)
          .patch({ deletedAt: new Date(), isLive: null, revision });
        return toTemplate(Object.assign(row, { definition: version.definition }));
      }),

    get: async (id) => {
      const [row] = await joined().where('templates.id', id).where('templates.isLive', 1);
      return row === undefined ? undefined : toTemplate(row);
    },

    list: async (tenantId, { after, limit, name }) => {
      const query = joined()
        .where('templates.tenantId', tenantId)
        .where('templates.isLive', 1)
        .orderBy('templates.name')
        .limit(limit);
      if (after !== undefined) query.where('templates.name', '>', after);
      if (name !== undefined) query.where('templates.name', name);
      return (await query).map(toTemplate);
    },

    findByName: async (tenantId, name) => {
      const [row] = await joined()
        .where('templates.tenantId', tenantId)
        .where('templates.name', name)
        .orderBy('templates.isLive', 'desc')
        .orderBy('templates.revision', 'desc')
        .limit(1);
      return row === undefined ? undefined : toKnown(row);
    },

    version: async (tenantId, name, version) => {
      const found = await VersionRow.query(db)
        .findById([tenantId, name, version])
        .where('state', 'published');
      const row = found && (await TemplateRow.query(db).findById(found.templateId));
      if (found === undefined || row === undefined) return undefined;
      return toTemplate(
        Object.assign(row, {
          version,
          updatedAt: found.publishedAt ?? found.createdAt,
          definition: found.definition,
        }),
      );
    },

    changedSince: async (revision, limit) => {
      const rows = await joined()
        .where('templates.revision', '>', revision)
        .orderBy('templates.revision')
        .limit(limit);
      return rows.map((row) => ({
        id: row.id,
        revision: row.revision,
        read: () => toKnown(row),
      }));
    },
  };
}

/** A new template, in force at once. Errors: name-taken. */
export async function createPublished(
  trx: Transaction,
  tenantId: string,
  written: Written,
): Promise<Template> {
  const row = await insertTemplate(trx, tenantId, written.edit.name);
  return publishNext(trx, row, written);
}

/** The next version of a template, in force at once. The row has its new revision already. */
export async function publishNext(
  trx: Transaction,
  row: TemplateRow,
  { edit, by }: Written,
): Promise<Template> {
  const { id: templateId, tenantId, name, revision, version: baseVersion } = row;
  const version = await nextVersion(trx, tenantId, name);
  // A template that is new is as old as its first version.
  const updatedAt = baseVersion === 0 ? row.updatedAt : new Date();
  const { definition } = await insertVersion(
    trx,
    { templateId, tenantId, name, version, createdAt: updatedAt },
    { edit, by, baseVersion, state: 'published', publishedBy: by ?? null, publishedAt: updatedAt },
  );
  const inForce = { version, revision, updatedAt };
  await TemplateRow.query(trx).findById(templateId).patch(inForce);
  return toTemplate(Object.assign(row, inForce, { definition }));
}

function toKnown(row: JoinedRow): KnownTemplate {
  return { template: toTemplate(row), isDeleted: row.deletedAt !== null };
}
