/** Templates as a file. Carried by: admin API ↔ a tenant's repository. */
import { Type, type Static } from 'typebox';
import { TemplateEditSchema } from './template.ts';
import { versionStates } from './template-version.ts';

export const fileFormat = 'message-center-templates/1';

export const TemplateFileSchema = Type.Object(
  {
    format: Type.Enum([fileFormat]),
    templates: Type.Array(TemplateEditSchema, { maxItems: 1000 }),
  },
  {
    additionalProperties: false,
    description: 'Templates by name, without ids, versions and times: what differs was changed.',
  },
);
export type TemplateFile = Static<typeof TemplateFileSchema>;

export const ImportedTemplateSchema = Type.Object({
  name: Type.String(),
  change: Type.Enum(['created', 'changed', 'unchanged'], {
    description: 'unchanged: it is in force, or waits for its review, just so.',
  }),
  state: Type.Enum([...versionStates], {
    description:
      'published: in force. submitted: waits for another person, as the tenant requires.',
  }),
  templateId: Type.Optional(Type.String({ description: 'Absent of what is yet to be created.' })),
  version: Type.Optional(Type.Integer({ description: 'Absent of what a dry run did not do.' })),
});
export type ImportedTemplate = Static<typeof ImportedTemplateSchema>;
