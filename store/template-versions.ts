/**
 * Versions of templates on their way into force: written, submitted, approved by another person, published, or taken
 * back. What is in force is store/templates.ts; a version becomes part of it here and nowhere else.
 */
import { problem } from '../contracts/problems.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import type {
  TemplateVersion,
  VersionState,
  WrittenVersion,
} from '../contracts/template-version.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { nextRevision } from './revisions.ts';
import {
  insertTemplate,
  insertVersion,
  liveTemplate,
  nextVersion,
  readEdit,
  requireSameName,
  TemplateRow,
  VersionRow,
  type VersionColumns,
} from './template-rows.ts';
import { toVersion, writersOf, written } from './template-version-records.ts';

/** One version as somebody has read it and now moves it. `by`: who. */
export interface VersionAt {
  readonly templateId: string;
  readonly version: number;
  readonly expectedEdition: number;
  readonly by: string;
}

interface VersionPage {
  /** Versions below this number. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Errors of every method that changes something: not-found, version-conflict, template-version-state. */
export interface TemplateVersions {
  /** A new template that begins as a draft. Errors: name-taken. */
  createTemplate(tenantId: string, edit: TemplateEdit, by: string): Promise<WrittenVersion>;
  /** A draft beside what is in force. `baseVersion`: what must be in force. Errors: validation-failed (the name cannot change). */
  create(
    templateId: string,
    draft: { edit: TemplateEdit; by: string; baseVersion?: number | undefined },
  ): Promise<WrittenVersion>;
  /** Makes it a draft over what is in force now. Errors: validation-failed (the name cannot change). */
  edit(at: VersionAt, edit: TemplateEdit): Promise<WrittenVersion>;
  submit(at: VersionAt): Promise<WrittenVersion>;
  reject(at: VersionAt, comment: string): Promise<WrittenVersion>;
  /** The number is not given again; a template of which nothing else is left goes, too. */
  discard(at: VersionAt): Promise<void>;
  /** Puts a submitted version in force. Errors: approver-is-author, template-version-outdated. */
  approve(at: VersionAt): Promise<WrittenVersion>;
  /** Puts a version in force without a review. Errors: template-version-outdated. */
  publish(at: VersionAt): Promise<WrittenVersion>;
  /** A new version with the content of an earlier published one, in force at once. */
  rollback(request: {
    templateId: string;
    expectedVersion: number;
    to: number;
    by: string;
  }): Promise<WrittenVersion>;
  get(templateId: string, version: number): Promise<WrittenVersion | undefined>;
  /** Newest first; undefined: there is no such template. */
  list(templateId: string, page: VersionPage): Promise<TemplateVersion[] | undefined>;
  /** Those of a tenant's live templates, by template and number. `after`: `<template id>.<version>`. */
  listByState(
    tenantId: string,
    state: VersionState,
    page: { after?: string | undefined; limit: number },
  ): Promise<TemplateVersion[]>;
}

export function createTemplateVersions(db: Database): TemplateVersions {
  /** Locks a version of a live template and writes what `change` makes of it. */
  const move = (
    at: VersionAt,
    from: readonly VersionState[],
    change: (
      row: VersionRow,
      template: TemplateRow,
      trx: Transaction,
    ) => Promise<Changed> | Changed,
  ): Promise<WrittenVersion> =>
    inTransaction(db, async (trx) => {
      const { row, template } = await lockedVersion(trx, at, from);
      const next = { ...(await change(row, template, trx)), edition: row.edition + 1 };
      await VersionRow.query(trx).findById(row.$id()).patch(next);
      return written(Object.assign(row, next), template);
    });

  /** Locks as `move` does, but first what orders all that comes into force. */
  const putInForce = (at: VersionAt, from: readonly VersionState[], change: MakeChange) =>
    inTransaction(db, async (trx) => {
      const revision = await nextRevision(trx, 'templates');
      const { row, template } = await lockedVersion(trx, at, from);
      const next = { ...change(row), edition: row.edition + 1, state: 'published' as const };
      requireCurrentBase(row, template);
      const publishedAt = new Date();
      const published = { ...next, publishedBy: at.by, publishedAt };
      const inForce = { version: row.version, revision, updatedAt: publishedAt };
      await TemplateRow.query(trx).findById(template.id).patch(inForce);
      await VersionRow.query(trx).findById(row.$id()).patch(published);
      return written(Object.assign(row, published), Object.assign(template, inForce));
    });

  return {
    createTemplate: (tenantId, edit, by) =>
      inTransaction(db, async (trx) => {
        const row = await insertTemplate(trx, tenantId, edit.name);
        return written(await addVersion(trx, row, { edit, by, state: 'draft' }), row);
      }),

    create: (templateId, { edit, by, baseVersion }) =>
      inTransaction(db, async (trx) => {
        const template = await liveTemplate(trx, templateId, baseVersion);
        requireSameName(template, edit);
        return written(await addVersion(trx, template, { edit, by, state: 'draft' }), template);
      }),

    edit: (at, edit) =>
      move(at, ['draft', 'rejected'], (row, template) => {
        requireSameName(template, edit);
        return {
          definition: JSON.stringify(edit),
          state: 'draft',
          baseVersion: template.version,
          writtenBy: JSON.stringify([...new Set([...writersOf(row), at.by])]),
          editedAt: new Date(),
        };
      }),

    submit: (at) =>
      move(at, ['draft', 'rejected'], () => ({
        state: 'submitted',
        submittedBy: at.by,
        submittedAt: new Date(),
      })),

    reject: (at, comment) =>
      move(at, ['submitted'], () => ({
        state: 'rejected',
        reviewedBy: at.by,
        reviewedAt: new Date(),
        reviewComment: comment,
      })),

    discard: async (at) => {
      await move(at, ['draft', 'submitted', 'rejected'], async (row, template, trx) => {
        if (template.version === 0) await removeIfEmpty(trx, row);
        return { state: 'discarded' };
      });
    },

    approve: (at) =>
      putInForce(at, ['submitted'], (row) => {
        if (writersOf(row).includes(at.by))
          throw problem('approver-is-author', {
            detail: `"${at.by}" has written some of version ${at.version}; somebody else must approve it.`,
          });
        return { reviewedBy: at.by, reviewedAt: new Date(), reviewComment: null };
      }),

    publish: (at) => putInForce(at, ['draft', 'submitted'], () => ({})),

    rollback: ({ templateId, expectedVersion, to, by }) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'templates');
        const template = await liveTemplate(trx, templateId, expectedVersion);
        const earlier = await VersionRow.query(trx).findOne({
          templateId,
          version: to,
          state: 'published',
        });
        if (earlier === undefined || to === template.version)
          throw problem('validation-failed', {
            detail: `Version ${to} is no earlier published version of this template.`,
            errors: [{ pointer: '/version', detail: 'is no earlier published version' }],
          });
        const edit = readEdit(earlier);
        const now = new Date();
        const added = await addVersion(trx, template, {
          edit,
          by,
          state: 'published',
          rollbackOf: to,
          publishedBy: by,
          publishedAt: now,
        });
        const inForce = { version: added.version, revision, updatedAt: now };
        await TemplateRow.query(trx).findById(templateId).patch(inForce);
        return written(added, Object.assign(template, inForce));
      }),

    get: async (templateId, version) => {
      const template = await TemplateRow.query(db).findById(templateId).where('isLive', 1);
      const row = template && (await VersionRow.query(db).findOne({ templateId, version }));
      return row === undefined || template === undefined ? undefined : written(row, template);
    },

    list: async (templateId, { before, limit }) => {
      const template = await TemplateRow.query(db).findById(templateId).where('isLive', 1);
      if (template === undefined) return undefined;
      const query = VersionRow.query(db)
        .where({ templateId })
        .orderBy('version', 'desc')
        .limit(limit);
      if (before !== undefined) query.where('version', '<', before);
      return (await query).map((row) => toVersion(row, template.version));
    },

    listByState: async (tenantId, state, { after, limit }) => {
      const query = VersionRow.query(db)
        .join('templates as t', (on) =>
          on.on('t.id', 'templateVersions.templateId').andOnVal('t.isLive', 1),
        )
        .where('templateVersions.tenantId', tenantId)
        .where('templateVersions.state', state)
        .orderBy(['templateVersions.templateId', 'templateVersions.version'])
        .limit(limit)
        .select('templateVersions.*', 't.version as inForce')
        .castTo<(VersionColumns & { inForce: number })[]>();
      if (after !== undefined) {
        const [id = '', version = '0'] = after.split('.');
        query.where((later) =>
          later
            .where('templateVersions.templateId', '>', id)
            .orWhere((same) =>
              same
                .where('templateVersions.templateId', id)
                .where('templateVersions.version', '>', Number(version)),
            ),
        );
      }
      return (await query).map((row) => toVersion(row, row.inForce));
    },
  };
}

type Changed = Partial<VersionColumns>;
type MakeChange = (row: VersionRow) => Changed;

/** Errors: not-found, version-conflict, template-version-state. */
async function lockedVersion(
  trx: Transaction,
  { templateId, version, expectedEdition }: VersionAt,
  from: readonly VersionState[],
): Promise<{ row: VersionRow; template: TemplateRow }> {
  const template = await liveTemplate(trx, templateId);
  const row = await VersionRow.query(trx).findOne({ templateId, version }).forUpdate();
  if (row === undefined)
    throw problem('not-found', { detail: `The template has no version ${version}.` });
  if (row.edition !== expectedEdition)
    throw problem('version-conflict', {
      detail: `You read edition ${expectedEdition} of this version; it is ${row.edition} now.`,
      errors: [{ pointer: 'header/if-match', detail: `is not the current "${row.edition}"` }],
    });
  if (!from.includes(row.state))
    throw problem('template-version-state', {
      detail: `Version ${version} is ${row.state}; that can be done with one that is ${from.join(' or ')}.`,
    });
  return { row, template };
}

/** Errors: template-version-outdated: publishing it would take back what came into force since it was written. */
function requireCurrentBase(row: VersionRow, template: TemplateRow): void {
  if (row.baseVersion === template.version) return;
  throw problem('template-version-outdated', {
    detail: `Version ${row.version} was written over version ${row.baseVersion}; version ${template.version} is in force now. Look at the difference and edit it again.`,
  });
}

/** The next version of a template, over the one in force. */
export async function addVersion(
  trx: Transaction,
  { id: templateId, tenantId, name, version: baseVersion }: TemplateRow,
  added: Parameters<typeof insertVersion>[2],
): Promise<VersionColumns> {
  const version = await nextVersion(trx, tenantId, name);
  const at = { templateId, tenantId, name, version, createdAt: new Date() };
  return insertVersion(trx, at, { ...added, baseVersion });
}

/** Removes a template of which nothing is published and no other version is left, so that its name is free. */
async function removeIfEmpty(trx: Transaction, { templateId, version }: VersionRow): Promise<void> {
  const other = await VersionRow.query(trx)
    .where({ templateId })
    .whereNot('state', 'discarded')
    .whereNot({ version })
    .first();
  if (other !== undefined) return;
  await TemplateRow.query(trx).findById(templateId).patch({ deletedAt: new Date(), isLive: null });
}
