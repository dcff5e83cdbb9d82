/** Templates: what is said, with which variables, through which connectors. */
import { Type } from 'typebox';
import { NameSchema, VariablesSchema } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { TemplateEditSchema, TemplateSchema, type TemplateEdit } from '../../contracts/template.ts';
import { route, type Route } from '../../platform/http.ts';
import {
  checkVariables,
  lintTemplate,
  renderContent,
  sampleVariables,
} from '../../templates/index.ts';
import {
  defaultTenantId,
  refuse,
  requireTenant,
  schemaFaults,
  type AdminDeps,
  type Administrator,
} from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../pages.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../versions.ts';

const TenantIdSchema = Type.Optional(
  Type.String({ ...NameSchema, description: `Whose. Default ${defaultTenantId}.` }),
);
const ListQuerySchema = Type.Object(
  {
    tenantId: TenantIdSchema,
    name: Type.Optional(Type.String({ ...NameSchema, description: 'Only the one of this name.' })),
    ...pageQuery,
  },
  { additionalProperties: false },
);
const CreateSchema = Type.Object(
  { tenantId: TenantIdSchema, ...TemplateEditSchema.properties },
  { additionalProperties: false },
);
const PreviewSchema = Type.Object(
  {
    template: TemplateEditSchema,
    variables: Type.Optional(VariablesSchema),
  },
  { additionalProperties: false },
);
const FaultsSchema = Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }));
const PreviewReplySchema = Type.Object({
  contents: Type.Record(
    Type.String(),
    Type.Object({
      content: Type.Unknown({ description: 'What the connector would get.' }),
      text: Type.String({ description: 'What people would read.' }),
      faults: FaultsSchema,
    }),
    { description: 'By connector.' },
  ),
  warnings: FaultsSchema,
});

const tag = 'Templates';
const idParam = { id: 'Id of the template: tpl_…' };

/** The routes of templates. */
export function templateRoutes(deps: AdminDeps): Route<Administrator>[] {
  const { store, connectors, logger } = deps;
  const lint = (edit: TemplateEdit) => lintTemplate(edit, { connectors, schemaFaults });
  const notFound = (id: string) =>
    problem('not-found', { detail: `There is no template with the id "${id}".` });

  return [
    route<Administrator, typeof TemplateEditSchema, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/templates',
      operationId: 'listTemplates',
      summary: 'Templates of a tenant, by name',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(TemplateSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId = defaultTenantId, name } = query;
        await requireTenant(store, tenantId, 'query/tenantId');
        const page = await readPage(
          query,
          (wanted) => store.templates.list(tenantId, { ...wanted, name }),
          (template) => template.name,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator, typeof CreateSchema>({
      method: 'post',
      path: '/v1/templates',
      operationId: 'createTemplate',
      summary: 'Create a template',
      description:
        'Strings of a content are Liquid templates over the declared variables. A name that was deleted may be used again; its versions go on counting.',
      tag,
      body: CreateSchema,
      responses: {
        201: {
          description: 'Created; Location and ETag say where and what.',
          schema: TemplateSchema,
        },
      },
      problems: ['name-taken'],
      handle: async ({ body, requestId }) => {
        const { tenantId = defaultTenantId, ...edit } = body;
        await requireTenant(store, tenantId, '/tenantId');
        refuse(lint(edit).faults);
        const template = await store.templates.create(tenantId, edit);
        logger.info(
          {
            tenantId,
            templateId: template.id,
            template: template.name,
            version: template.version,
            kind: template.kind,
            connectors: Object.keys(edit.contents),
            requestId,
          },
          'template.created',
        );
        return versioned(201, template, `/v1/templates/${template.id}`);
      },
    }),
    route<Administrator, typeof PreviewSchema>({
      method: 'post',
      path: '/v1/templates/preview',
      operationId: 'previewTemplate',
      summary: 'Check and render a template without storing it',
      description:
        'Without `variables` every variable gets a sample. Faults of the template are the problem validation-failed; what may be meant but looks odd comes as warnings.',
      tag,
      body: PreviewSchema,
      responses: { 200: { description: 'Rendered.', schema: PreviewReplySchema } },
      problems: ['variables-invalid'],
      handle: async ({ body: { template, variables } }) => {
        const { faults, warnings } = lint(template);
        refuse(faults.map((fault) => ({ ...fault, pointer: `/template${fault.pointer}` })));
        const values = variables ?? sampleVariables(template);
        const unfit = checkVariables(template, values);
        if (unfit.length > 0) throw problem('variables-invalid', { errors: unfit });
        const contents = Object.keys(template.contents).map((name) => [
          name,
          preview(deps, name, renderContent(template, name, values)),
        ]);
        return { status: 200, body: { contents: Object.fromEntries(contents), warnings } };
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/templates/:id',
      operationId: 'getTemplate',
      summary: 'One template',
      tag,
      params: idParam,
      responses: { 200: { description: 'The current version.', schema: TemplateSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        const template = await store.templates.get(id);
        if (template === undefined) throw notFound(id);
        return versioned(200, template);
      },
    }),
    route<Administrator, typeof TemplateEditSchema>({
      method: 'put',
      path: '/v1/templates/:id',
      operationId: 'replaceTemplate',
      summary: 'Replace a template by its next version',
      description: 'In force for new deliveries within 2 seconds; the name cannot change.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      body: TemplateEditSchema,
      responses: { 200: { description: 'The new version.', schema: TemplateSchema } },
      problems: ['not-found', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, requestId }) => {
        const version = expectedVersion(headers);
        refuse(lint(body).faults);
        const template = await store.templates.update(id, version, body);
        logger.info(
          {
            tenantId: template.tenantId,
            templateId: id,
            template: template.name,
            version: template.version,
            kind: template.kind,
            connectors: Object.keys(body.contents),
            requestId,
          },
          'template.edited',
        );
        return versioned(200, template);
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/templates/:id',
      operationId: 'deleteTemplate',
      summary: 'Delete a template',
      description: 'New messages are refused within 2 seconds; accepted ones are still sent.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      responses: { 204: { description: 'Deleted.' } },
      problems: ['not-found', 'version-conflict', 'precondition-required', 'validation-failed'],
      handle: async ({ params: { id = '' }, headers, requestId }) => {
        const template = await store.templates.remove(id, expectedVersion(headers));
        const { tenantId, name, version } = template;
        logger.info(
          { tenantId, templateId: id, template: name, version, requestId },
          'template.deleted',
        );
        return { status: 204 };
      },
    }),
  ];
}

function preview(
  { connectors }: AdminDeps,
  name: string,
  rendered: ReturnType<typeof renderContent>,
) {
  if (rendered.result === 'template-error') {
    const { pointer, detail } = rendered;
    return { content: null, text: '', faults: [{ pointer: `/template${pointer}`, detail }] };
  }
  const connector = connectors.get(name);
  if (connector === undefined) throw new Error(`${name} passed the lint but is no connector`);
  const { content } = rendered;
  const faults = schemaFaults(connector.contentSchema, content).map((fault) => ({
    ...fault,
    pointer: `/template/contents/${name}${fault.pointer}`,
  }));
  return { content, text: faults.length > 0 ? '' : connector.contentText(content), faults };
}
