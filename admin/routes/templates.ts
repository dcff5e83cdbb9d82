/** Templates: what is said, with which variables, through which connectors. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { TemplateEditSchema, TemplateSchema, type TemplateEdit } from '../../contracts/template.ts';
import { WrittenVersionSchema } from '../../contracts/template-version.ts';
import { route, type Route } from '../../platform/http.ts';
import { errorsOf, lintTemplate, withCanonicalLocales } from '../../templates/index.ts';
import {
  defaultTenantId,
  refuse,
  requireTenant,
  schemaFaults,
  type AdminDeps,
  type Administrator,
} from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { editioned, versionEvent } from '../template-version-replies.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../../platform/versions.ts';

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
const draftReply = {
  description: 'A draft, not in force; Location and ETag say where and what.',
  schema: WrittenVersionSchema,
};

const tag = 'Templates';
const idParam = { id: 'Id of the template: tpl_…' };

/** The routes of templates. */
export function templateRoutes(deps: AdminDeps): Route<Administrator>[] {
  const { store, connectors, logger } = deps;
  const refuseErrors = (edit: TemplateEdit) =>
    refuse(errorsOf(lintTemplate(edit, { connectors, schemaFaults })));
  const requiresReview = async (tenantId: string) =>
    (await store.tenantPolicies.get(tenantId)).requiresReview === true;
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
        'Strings of a content are Liquid templates over the declared variables. A name that was deleted may be used again; its versions go on counting. Where the tenant requires reviews it begins as a draft.',
      tag,
      body: CreateSchema,
      responses: {
        201: {
          description: 'Created and in force; Location and ETag say where and what.',
          schema: TemplateSchema,
        },
        202: draftReply,
      },
      problems: ['name-taken'],
      handle: async ({ body, caller, requestId }) => {
        const { tenantId = defaultTenantId, ...written } = body;
        await requireTenant(store, tenantId, '/tenantId');
        refuseErrors(written);
        const edit = withCanonicalLocales(written);
        if (await requiresReview(tenantId)) {
          const draft = await store.templateVersions.createTemplate(tenantId, edit, caller.id);
          logger.info(versionEvent(draft, { requestId }), 'template-version.drafted');
          return editioned(202, draft);
        }
        const template = await store.templates.create(tenantId, edit, caller.id);
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
    route<Administrator>({
      method: 'get',
      path: '/v1/templates/:id',
      operationId: 'getTemplate',
      summary: 'One template',
      tag,
      params: idParam,
      responses: { 200: { description: 'The version in force.', schema: TemplateSchema } },
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
      description:
        'In force for new deliveries within 2 seconds; the name cannot change. Where the tenant requires reviews it becomes a draft.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      body: TemplateEditSchema,
      responses: {
        200: { description: 'The new version, in force.', schema: TemplateSchema },
        202: draftReply,
      },
      problems: ['not-found', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, caller, requestId }) => {
        const version = expectedVersion(headers);
        refuseErrors(body);
        const edit = withCanonicalLocales(body);
        const current = await store.templates.get(id);
        if (current === undefined) throw notFound(id);
        if (await requiresReview(current.tenantId)) {
          const written = { edit, by: caller.id, baseVersion: version };
          const draft = await store.templateVersions.create(id, written);
          logger.info(versionEvent(draft, { requestId }), 'template-version.drafted');
          return editioned(202, draft);
        }
        const template = await store.templates.update(id, version, { edit, by: caller.id });
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
