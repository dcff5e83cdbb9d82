/** A version's row as administrators see it. */
import { Type } from 'typebox';
import type { TemplateVersion, WrittenVersion } from '../contracts/template-version.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson } from './database.ts';
import { readEdit, type TemplateRow, type VersionColumns } from './template-rows.ts';

const writersValidator = createValidator(Type.Array(Type.String()));

/** Ids of all who have written any of a version; empty: not known. */
export function writersOf({ writtenBy }: Pick<VersionColumns, 'writtenBy'>): string[] {
  return writtenBy === null ? [] : readJson(writtenBy, writersValidator, 'who wrote a version');
}

/** A version with what it says. */
export function written(row: VersionColumns, template: TemplateRow): WrittenVersion {
  return { ...toVersion(row, template.version), template: readEdit(row) };
}

/** A version; `inForce` is the number of the one that its template has in force. */
export function toVersion(row: VersionColumns, inForce: number): TemplateVersion {
  const { submittedBy, reviewedBy, publishedBy, rollbackOf, reviewComment } = row;
  const publishedAt = row.publishedAt ?? (row.state === 'published' ? row.createdAt : null);
  return {
    templateId: row.templateId,
    tenantId: row.tenantId,
    name: row.name,
    version: row.version,
    state: row.state,
    isInForce: row.version === inForce,
    edition: row.edition,
    baseVersion: row.baseVersion,
    ...(rollbackOf !== null && { rollbackOf }),
    writtenBy: writersOf(row),
    createdAt: row.createdAt.toISOString(),
    ...(row.editedAt !== null && { editedAt: row.editedAt.toISOString() }),
    ...(submittedBy !== null && { submittedBy }),
    ...(row.submittedAt !== null && { submittedAt: row.submittedAt.toISOString() }),
    ...(reviewedBy !== null && { reviewedBy }),
    ...(row.reviewedAt !== null && { reviewedAt: row.reviewedAt.toISOString() }),
    ...(reviewComment !== null && { comment: reviewComment }),
    ...(publishedBy !== null && { publishedBy }),
    ...(publishedAt !== null && { publishedAt: publishedAt.toISOString() }),
  };
}
