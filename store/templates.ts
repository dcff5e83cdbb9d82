/** Templates. Every edit adds a version that never changes again, so that what is on its way renders as it was pinned. */
import { Model } from 'objection';
import { problem } from '../contracts/problems.ts';
import { TemplateEditSchema, type Template, type TemplateEdit } from '../contracts/template.ts';
import { createValidator } from '../platform/validate.ts';
import {
  inTransaction,
  isDuplicate,
  readJson,
  type Database,
  type Transaction,
} from './database.ts';
import { createId } from './ids.ts';
import { nextRevision, type Change } from './revisions.ts';
import type { PageRequest } from './tenants.ts';

/** A template for a cache; a deleted one with its last version. */
export interface KnownTemplate {
  readonly template: Template;
  readonly isDeleted: boolean;
}

export interface Templates {
  /** Errors: name-taken. */
  create(tenantId: string, edit: TemplateEdit): Promise<Template>;
  /** Errors: not-found, version-conflict, validation-failed (the name cannot change). */
  update(id: string, expectedVersion: number, edit: TemplateEdit): Promise<Template>;
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

class TemplateRow extends Model {
  static override tableName = 'templates';
  declare id: string;
  declare tenantId: string;
  declare name: string;
  declare version: number;
  declare revision: number;
  declare createdAt: Date;
  declare updatedAt: Date;
  declare deletedAt: Date | null;
  declare isLive: 1 | null;
}

class VersionRow extends Model {
  static override tableName = 'template_versions';
  static override idColumn = ['tenantId', 'name', 'version'];
  declare tenantId: string;
  declare name: string;
  declare version: number;
  declare templateId: string;
  declare definition: string;
  declare createdAt: Date;
}

type JoinedRow = Pick<
  TemplateRow,
  'id' | 'tenantId' | 'version' | 'revision' | 'createdAt' | 'updatedAt' | 'deletedAt'
> &
  Pick<VersionRow, 'definition'>;

const editValidator = createValidator(TemplateEditSchema);

export function createTemplates(db: Database): Templates {
  const joined = () =>
    TemplateRow.query(db)
      .join('templateVersions as v', (on) =>
        on.on('v.templateId', 'templates.id').andOn('v.version', 'templates.version'),
      )
      .select('templates.*', 'v.definition')
      .castTo<JoinedRow[]>();

  return {
    create: (tenantId, edit) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'templates');
        const now = new Date();
        const row = {
          id: createId('tpl'),
          tenantId,
          name: edit.name,
          version: (await lastVersion(trx, tenantId, edit.name)) + 1,
          revision,
          createdAt: now,
          updatedAt: now,
          deletedAt: null,
          isLive: 1 as const,
        };
        await TemplateRow.query(trx)
          .insert(row)
          .catch((error: unknown) => throwNameTaken(error, edit.name));
        return toTemplate({ ...row, definition: await insertVersion(trx, row, edit) });
      }),

    update: (id, expectedVersion, edit) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'templates');
        const row = await liveRow(trx, id, expectedVersion);
        if (edit.name !== row.name)
          throw problem('validation-failed', {
            detail: `Services send by the name "${row.name}"; make another template for another name.`,
            errors: [{ pointer: '/name', detail: `cannot change, it is "${row.name}"` }],
          });
        const next = { version: row.version + 1, revision, updatedAt: new Date() };
        await TemplateRow.query(trx).findById(id).patch(next);
        const definition = await insertVersion(trx, Object.assign(row, next), edit);
        return toTemplate(Object.assign(row, { definition }));
      }),

    remove: (id, expectedVersion) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'templates');
        const row = await liveRow(trx, id, expectedVersion);
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
      const found = await VersionRow.query(db).findById([tenantId, name, version]);
      const row = found && (await TemplateRow.query(db).findById(found.templateId));
      if (found === undefined || row === undefined) return undefined;
      return toTemplate(
        Object.assign(row, { version, updatedAt: found.createdAt, definition: found.definition }),
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

async function lastVersion(trx: Transaction, tenantId: string, name: string): Promise<number> {
  const last = await VersionRow.query(trx)
    .where({ tenantId, name })
    .orderBy('version', 'desc')
    .first();
  return last?.version ?? 0;
}

async function insertVersion(
  trx: Transaction,
  row: Pick<TemplateRow, 'id' | 'tenantId' | 'name' | 'version' | 'updatedAt'>,
  edit: TemplateEdit,
): Promise<string> {
  const definition = JSON.stringify(edit);
  await VersionRow.query(trx).insert({
    tenantId: row.tenantId,
    name: row.name,
    version: row.version,
    templateId: row.id,
    definition,
    createdAt: row.updatedAt,
  });
  return definition;
}

async function liveRow(
  trx: Transaction,
  id: string,
  expectedVersion: number,
): Promise<TemplateRow> {
  const row = await TemplateRow.query(trx).findById(id).where('isLive', 1).forUpdate();
  if (row === undefined)
    throw problem('not-found', { detail: `There is no template with the id "${id}".` });
  if (row.version !== expectedVersion)
    throw problem('version-conflict', {
      detail: `You read version ${expectedVersion}; it is version ${row.version} now.`,
      errors: [{ pointer: 'header/if-match', detail: `is not the current "${row.version}"` }],
    });
  return row;
}

function throwNameTaken(error: unknown, name: string): never {
  if (!isDuplicate(error)) throw error;
  throw problem('name-taken', {
    detail: `This tenant has a template "${name}" already.`,
    errors: [{ pointer: '/name', detail: 'is in use' }],
  });
}

function toKnown(row: JoinedRow): KnownTemplate {
  return { template: toTemplate(row), isDeleted: row.deletedAt !== null };
}

function toTemplate(
  row: Pick<JoinedRow, 'id' | 'tenantId' | 'version' | 'createdAt' | 'updatedAt' | 'definition'>,
): Template {
  return {
    id: row.id,
    tenantId: row.tenantId,
    ...readJson(row.definition, editValidator, `template ${row.id} version ${row.version}`),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}
