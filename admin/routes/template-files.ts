/** Templates out to a file and in from one, so that they can live in a repository. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import type { FieldFault } from '../../contracts/problems.ts';
import {
  fileFormat,
  ImportedTemplateSchema,
  TemplateFileSchema,
  type TemplateFile,
} from '../../contracts/template-file.ts';
import type { TemplateEdit } from '../../contracts/template.ts';
import { route, type Route } from '../../platform/http.ts';
import {
  canonicalTemplate,
  errorsOf,
  isSameTemplate,
  lintTemplate,
  withCanonicalLocales,
} from '../../templates/index.ts';
import {
  defaultTenantId,
  refuse,
  requireTenant,
  schemaFaults,
  type AdminDeps,
  type Administrator,
} from '../deps.ts';

const tenantId = Type.Optional(
  Type.String({ ...NameSchema, description: `Whose. Default ${defaultTenantId}.` }),
);
const ExportQuerySchema = Type.Object({ tenantId }, { additionalProperties: false });
const ImportQuerySchema = Type.Object(
  {
    tenantId,
    dryRun: Type.Optional(
      Type.Boolean({ description: 'Only says what would be done. Default false.' }),
    ),
  },
  { additionalProperties: false },
);
const ImportReplySchema = Type.Object({
  dryRun: Type.Boolean(),
  created: Type.Integer(),
  changed: Type.Integer(),
  unchanged: Type.Integer(),
  templates: Type.Array(ImportedTemplateSchema, { description: 'In the order of the file.' }),
});

const tag = 'Templates';
const maxFileBytes = 16 * 1024 * 1024;
const pageSize = 200;

/** The routes. GET /v1/templates/export must come before GET /v1/templates/:id. */
export function templateFileRoutes({
  store,
  connectors,
  logger,
}: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator, typeof TemplateFileSchema, typeof ExportQuerySchema>({
      method: 'get',
      path: '/v1/templates/export',
      operationId: 'exportTemplates',
      summary: "A tenant's templates as one file",
      description:
        'What is in force, by name, always in the same lines: two exports differ where templates do.',
      tag,
      query: ExportQuerySchema,
      responses: { 200: { description: 'The file.', schema: TemplateFileSchema } },
      problems: [],
      handle: async ({ query: { tenantId: of = defaultTenantId } }) => {
        await requireTenant(store, of, 'query/tenantId');
        const templates: TemplateEdit[] = [];
        for (;;) {
          const after = templates.at(-1)?.name;
          const page = await store.templates.list(of, { after, limit: pageSize });
          templates.push(...page.map(canonicalTemplate));
          if (page.length < pageSize) break;
        }
        const file: TemplateFile = { format: fileFormat, templates };
        const value = `${JSON.stringify(file, undefined, 2)}\n`;
        return { status: 200, text: { contentType: 'application/json', value } };
      },
    }),
    route<Administrator, typeof TemplateFileSchema, typeof ImportQuerySchema>({
      method: 'post',
      path: '/v1/templates/import',
      operationId: 'importTemplates',
      summary: 'Make templates what a file says, all or none',
      description:
        'Templates that the file does not name stay as they are. The same file again changes nothing. Where the tenant requires reviews, changes are submitted for one.',
      tag,
      maxBodyBytes: maxFileBytes,
      query: ImportQuerySchema,
      body: TemplateFileSchema,
      responses: {
        200: { description: 'What was done, or would be.', schema: ImportReplySchema },
      },
      problems: [],
      handle: async ({ query, body: { templates: edits }, caller, requestId }) => {
        const { tenantId: of = defaultTenantId, dryRun = false } = query;
        await requireTenant(store, of, 'query/tenantId');
        refuse([...repeatedNames(edits), ...edits.flatMap(errorsAt)]);
        const spelled = edits.map(withCanonicalLocales);
        const { requiresReview } = await store.tenantPolicies.get(of);
        const templates = await store.templateImports.run({
          tenantId: of,
          edits: spelled,
          by: caller.id,
          as: requiresReview === true ? 'submitted' : 'published',
          isDryRun: dryRun,
          isSame: isSameTemplate,
        });
        const count = (wanted: string) =>
          templates.filter(({ change }) => change === wanted).length;
        const counts = {
          created: count('created'),
          changed: count('changed'),
          unchanged: count('unchanged'),
        };
        logger.info({ tenantId: of, dryRun, ...counts, requestId }, 'templates.imported');
        return { status: 200, body: { dryRun, ...counts, templates } };
      },
    }),
  ];

  function errorsAt(edit: TemplateEdit, index: number): FieldFault[] {
    return errorsOf(lintTemplate(edit, { connectors, schemaFaults })).map((error) => ({
      ...error,
      pointer: `/templates/${index}${error.pointer}`,
    }));
  }
}

function repeatedNames(edits: readonly TemplateEdit[]): FieldFault[] {
  const seen = new Set<string>();
  return edits.flatMap(({ name }, index) => {
    if (!seen.has(name)) {
      seen.add(name);
      return [];
    }
    return [{ pointer: `/templates/${index}/name`, detail: `is there twice: "${name}"` }];
  });
}
