/** Versions of a template on their way into force. Carried by: admin API ↔ people; store → admin. */
import { Type, type Static } from 'typebox';
import { NameSchema } from './message.ts';
import { TemplateEditSchema } from './template.ts';

/**
 * draft → submitted → published, or → rejected, which an edit makes a draft again. A published version never changes;
 * a discarded one keeps its number. Only published versions are ever in force.
 */
export const versionStates = ['draft', 'submitted', 'rejected', 'published', 'discarded'] as const;
export type VersionState = (typeof versionStates)[number];

const WhoSchema = Type.Optional(Type.String({ description: 'Id of who did it.' }));
const WhenSchema = Type.Optional(Type.String());

export const TemplateVersionSchema = Type.Object({
  templateId: Type.String(),
  tenantId: Type.String(),
  name: NameSchema,
  version: Type.Integer(),
  state: Type.Enum([...versionStates]),
  isInForce: Type.Boolean({ description: 'Whether new messages are rendered with it.' }),
  edition: Type.Integer({ description: 'Counts edits and moves; the ETag.' }),
  baseVersion: Type.Integer({
    description:
      'Which version was in force when it was written; it is published only while that one still is. 0: none.',
  }),
  rollbackOf: Type.Optional(
    Type.Integer({ description: 'The earlier version whose content it has.' }),
  ),
  writtenBy: Type.Array(Type.String(), {
    description: 'Ids of all who have written any of it, in order. Empty: not known.',
  }),
  createdAt: Type.String(),
  editedAt: WhenSchema,
  submittedBy: WhoSchema,
  submittedAt: WhenSchema,
  reviewedBy: WhoSchema,
  reviewedAt: WhenSchema,
  comment: Type.Optional(Type.String({ description: "The reviewer's." })),
  publishedBy: WhoSchema,
  publishedAt: WhenSchema,
});
export type TemplateVersion = Static<typeof TemplateVersionSchema>;

export const WrittenVersionSchema = Type.Object({
  ...TemplateVersionSchema.properties,
  template: TemplateEditSchema,
});
/** A version with what it says. */
export type WrittenVersion = Static<typeof WrittenVersionSchema>;
