/** Many templates from a file, all or none. */
import type { ImportedTemplate } from '../contracts/template-file.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { nextRevision } from './revisions.ts';
import {
  insertTemplate,
  liveTemplate,
  readEdit,
  TemplateRow,
  VersionRow,
} from './template-rows.ts';
import { addVersion } from './template-versions.ts';
import { createPublished, publishNext } from './templates.ts';

export interface TemplateImport {
  readonly tenantId: string;
  /** No name twice. */
  readonly edits: readonly TemplateEdit[];
  readonly by: string;
  /** What a change becomes: in force at once, or waiting for a review. */
  readonly as: 'published' | 'submitted';
  /** Only says what would be done. */
  readonly isDryRun: boolean;
  /** Whether two texts say the same. */
  readonly isSame: (a: TemplateEdit, b: TemplateEdit) => boolean;
}

export interface TemplateImports {
  /** One line for each, in order. The same import again changes nothing. Templates that are not named stay as they are. */
  run(request: TemplateImport): Promise<ImportedTemplate[]>;
}

export function createTemplateImports(db: Database): TemplateImports {
  return {
    run: (request) =>
      inTransaction(db, async (trx) => {
        // Every edit waits for this row, so that what is compared is what is changed.
        if (!request.isDryRun) await nextRevision(trx, 'templates');
        const known = await readKnown(trx, request);
        const lines: ImportedTemplate[] = [];
        for (const edit of request.edits)
          lines.push(await importOne(trx, request, { edit, known: known.get(edit.name) }));
        return lines;
      }),
  };
}

/** A live template with the versions that an import of the same text would repeat. */
interface Known {
  readonly row: TemplateRow;
  readonly versions: readonly VersionRow[];
}

async function readKnown(
  trx: Transaction,
  { tenantId, edits }: TemplateImport,
): Promise<ReadonlyMap<string, Known>> {
  const names = edits.map(({ name }) => name);
  const rows = await TemplateRow.query(trx).where({ tenantId, isLive: 1 }).whereIn('name', names);
  const versions = await VersionRow.query(trx)
    .join('templates as t', 't.id', 'templateVersions.templateId')
    .whereIn(
      'templateVersions.templateId',
      rows.map(({ id }) => id),
    )
    .where((open) =>
      open
        .whereColumn('templateVersions.version', 't.version')
        .orWhere((waiting) =>
          waiting
            .where('templateVersions.state', 'submitted')
            .whereColumn('templateVersions.baseVersion', 't.version'),
        ),
    )
    .orderBy('templateVersions.version')
    .select('templateVersions.*');
  return new Map(
    rows.map((row) => [
      row.name,
      { row, versions: versions.filter(({ templateId }) => templateId === row.id) },
    ]),
  );
}

async function importOne(
  trx: Transaction,
  { tenantId, by, as, isDryRun, isSame }: TemplateImport,
  { edit, known }: { edit: TemplateEdit; known: Known | undefined },
): Promise<ImportedTemplate> {
  const { name } = edit;
  const same = known?.versions.find((version) => isSame(readEdit(version), edit));
  if (same !== undefined) {
    const { templateId, version, state } = same;
    return { name, change: 'unchanged', state, templateId, version };
  }
  const change = known === undefined ? 'created' : 'changed';
  if (isDryRun)
    return { name, change, state: as, ...(known !== undefined && { templateId: known.row.id }) };
  // Who drafts at the same time waits, and gets the number after.
  const locked = known && (await liveTemplate(trx, known.row.id));
  if (as === 'submitted') {
    const row = locked ?? (await insertTemplate(trx, tenantId, name));
    const submitted = { submittedBy: by, submittedAt: new Date() };
    const { version } = await addVersion(trx, row, { edit, by, state: as, ...submitted });
    return { name, change, state: as, templateId: row.id, version };
  }
  if (locked === undefined) {
    const { id, version } = await createPublished(trx, tenantId, { edit, by });
    return { name, change, state: as, templateId: id, version };
  }
  // Each row needs a number of its own, by which caches find it.
  const revision = await nextRevision(trx, 'templates');
  const { id, version } = await publishNext(trx, Object.assign(locked, { revision }), {
    edit,
    by,
  });
  return { name, change, state: as, templateId: id, version };
}
