/** The two tables of templates, as templates and their versions share them. */
import { Model } from 'objection';
import { problem } from '../contracts/problems.ts';
import { TemplateEditSchema, type Template, type TemplateEdit } from '../contracts/template.ts';
import type { VersionState } from '../contracts/template-version.ts';
import { createValidator } from '../platform/validate.ts';
import { isDuplicate, readJson, type Transaction } from './database.ts';
import { createId } from './ids.ts';
import { nextRevision } from './revisions.ts';

/** `version` is the one in force; 0: none has been published yet. */
export class TemplateRow extends Model {
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

export class VersionRow extends Model {
  static override tableName = 'template_versions';
  static override idColumn = ['tenantId', 'name', 'version'];
  declare tenantId: string;
  declare name: string;
  declare version: number;
  declare templateId: string;
  declare definition: string;
  declare createdAt: Date;
  declare state: VersionState;
  declare edition: number;
  declare baseVersion: number;
  declare rollbackOf: number | null;
  declare writtenBy: string | null;
  declare editedAt: Date | null;
  declare submittedBy: string | null;
  declare submittedAt: Date | null;
  declare reviewedBy: string | null;
  declare reviewedAt: Date | null;
  declare reviewComment: string | null;
  declare publishedBy: string | null;
  declare publishedAt: Date | null;
}
export type VersionColumns = Omit<VersionRow, keyof Model>;

const editValidator = createValidator(TemplateEditSchema);

/** A new template, none of whose versions is in force. Errors: name-taken. */
export async function insertTemplate(
  trx: Transaction,
  tenantId: string,
  name: string,
): Promise<TemplateRow> {
  const revision = await nextRevision(trx, 'templates');
  const now = new Date();
  const row = TemplateRow.fromJson({
    id: createId('tpl'),
    tenantId,
    name,
    version: 0,
    revision,
    createdAt: now,
    updatedAt: now,
    deletedAt: null,
    isLive: 1,
  });
  await TemplateRow.query(trx)
    .insert(row)
    .catch((error: unknown) => throwNameTaken(error, name));
  return row;
}

/** The next number: those of a name go on after its template was deleted and made anew. */
export async function nextVersion(
  trx: Transaction,
  tenantId: string,
  name: string,
): Promise<number> {
  const last = await VersionRow.query(trx)
    .where({ tenantId, name })
    .orderBy('version', 'desc')
    .first();
  return (last?.version ?? 0) + 1;
}

/** Adds a version. `by`: who wrote it, where that is known; `more`: what a plain draft does not have. */
export async function insertVersion(
  trx: Transaction,
  at: Pick<VersionRow, 'tenantId' | 'name' | 'version' | 'templateId' | 'createdAt'>,
  written: { edit: TemplateEdit; by?: string | undefined } & Pick<VersionRow, 'state'> &
    Partial<VersionColumns>,
): Promise<VersionColumns> {
  const { edit, by, ...more } = written;
  const row: VersionColumns = {
    ...at,
    definition: JSON.stringify(edit),
    edition: 1,
    baseVersion: 0,
    rollbackOf: null,
    writtenBy: by === undefined ? null : JSON.stringify([by]),
    editedAt: null,
    submittedBy: null,
    submittedAt: null,
    reviewedBy: null,
    reviewedAt: null,
    reviewComment: null,
    publishedBy: null,
    publishedAt: null,
    ...more,
  };
  await VersionRow.query(trx).insert(row);
  return row;
}

/** The row of a live template, locked. Errors: not-found, version-conflict. */
export async function liveTemplate(
  trx: Transaction,
  id: string,
  expectedVersion?: number,
): Promise<TemplateRow> {
  const row = await TemplateRow.query(trx).findById(id).where('isLive', 1).forUpdate();
  if (row === undefined)
    throw problem('not-found', { detail: `There is no template with the id "${id}".` });
  if (expectedVersion !== undefined && row.version !== expectedVersion)
    throw problem('version-conflict', {
      detail: `You read version ${expectedVersion}; it is version ${row.version} now.`,
      errors: [{ pointer: 'header/if-match', detail: `is not the current "${row.version}"` }],
    });
  return row;
}

/** Errors: validation-failed: services send by the name. */
export function requireSameName(row: TemplateRow, edit: TemplateEdit): void {
  if (edit.name === row.name) return;
  throw problem('validation-failed', {
    detail: `Services send by the name "${row.name}"; make another template for another name.`,
    errors: [{ pointer: '/name', detail: `cannot change, it is "${row.name}"` }],
  });
}

/** What a version says. Errors: the stored text is not readable. */
export function readEdit({
  definition,
  templateId,
  version,
}: Pick<VersionRow, 'definition' | 'templateId' | 'version'>): TemplateEdit {
  return readJson(definition, editValidator, `template ${templateId} version ${version}`);
}

export function toTemplate(
  row: Pick<TemplateRow, 'id' | 'tenantId' | 'version' | 'createdAt' | 'updatedAt'> & {
    definition: string;
  },
): Template {
  return {
    id: row.id,
    tenantId: row.tenantId,
    ...readEdit({ ...row, templateId: row.id }),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

function throwNameTaken(error: unknown, name: string): never {
  if (!isDuplicate(error)) throw error;
  throw problem('name-taken', {
    detail: `This tenant has a template "${name}" already.`,
    errors: [{ pointer: '/name', detail: 'is in use' }],
  });
}
