/** Versions of templates: drafts, their review by another person, what was published, and the way back to it. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { TemplateEditSchema, type TemplateEdit } from '../../contracts/template.ts';
import {
  TemplateVersionSchema,
  versionStates,
  WrittenVersionSchema,
} from '../../contracts/template-version.ts';
import { route, type Route, type RouteInput } from '../../platform/http.ts';
import {
  diffTemplates,
  errorsOf,
  lintTemplate,
  localeFaults,
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
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { editioned, versionEvent } from '../template-version-replies.ts';
import { expectedVersion, ifMatchHeader } from '../../platform/versions.ts';

const PageQuerySchema = Type.Object(pageQuery, { additionalProperties: false });
const ReviewQuerySchema = Type.Object(
  {
    tenantId: Type.Optional(
      Type.String({ ...NameSchema, description: `Whose. Default ${defaultTenantId}.` }),
    ),
    state: Type.Optional(Type.Enum([...versionStates], { description: 'Default submitted.' })),
    ...pageQuery,
  },
  { additionalProperties: false },
);
const RejectSchema = Type.Object(
  { comment: Type.String({ minLength: 1, maxLength: 2000, pattern: '\\S', description: 'Why.' }) },
  { additionalProperties: false },
);
const RollbackSchema = Type.Object(
  { version: Type.Integer({ minimum: 1, description: 'An earlier published version.' }) },
  { additionalProperties: false },
);
const DiffSchema = Type.Object({
  from: TemplateVersionSchema,
  to: TemplateVersionSchema,
  diff: Type.String({
    description: 'A unified diff; a text of several lines is a list of them. Empty: the same.',
  }),
});

const tag = 'Template versions';
const idParam = { id: 'Id of the template: tpl_…' };
const params = { ...idParam, version: 'Number of the version.' };
const moveProblems = [
  'not-found',
  'version-conflict',
  'precondition-required',
  'validation-failed',
  'template-version-state',
] as const;
const moved = { 200: { description: 'The version as it is now.', schema: WrittenVersionSchema } };

type Moving = Pick<RouteInput<unknown, unknown, Administrator>, 'params' | 'headers' | 'caller'>;

/** The routes. */
export function templateVersionRoutes(deps: AdminDeps): Route<Administrator>[] {
  const { store, connectors, logger } = deps;
  const refuseErrors = (edit: TemplateEdit) =>
    refuse(errorsOf(lintTemplate(edit, { connectors, schemaFaults })));
  /** A draft may have faults, but not in its tags: everything else goes by them. */
  const spelled = (edit: TemplateEdit) => {
    refuse(localeFaults(edit));
    return withCanonicalLocales(edit);
  };
  const found = async (id: string, version: string) => {
    const written = await store.templateVersions.get(id, versionNumber(version));
    if (written === undefined)
      throw problem('not-found', { detail: `There is no version ${version} of "${id}".` });
    return written;
  };
  const at = ({ params: { id = '', version = '' }, headers, caller }: Moving) => ({
    templateId: id,
    version: versionNumber(version),
    expectedEdition: expectedVersion(headers),
    by: caller.id,
  });
  /** What is about to come into force, or to be reviewed for it. Errors: not-found, validation-failed. */
  const linted = async (input: Moving) => {
    const place = at(input);
    const written = await found(place.templateId, String(place.version));
    refuseErrors(written.template);
    return { place, written };
  };

  return [
    route<Administrator, typeof TemplateEditSchema, typeof ReviewQuerySchema>({
      method: 'get',
      path: '/v1/template-versions',
      operationId: 'listTemplateVersionsByState',
      summary: 'Versions of all templates of a tenant that are in one state',
      description: 'What waits for a review; also templates that were never published.',
      tag,
      query: ReviewQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(TemplateVersionSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId = defaultTenantId, state = 'submitted' } = query;
        await requireTenant(store, tenantId, 'query/tenantId');
        const page = await readPage(
          query,
          (wanted) => store.templateVersions.listByState(tenantId, state, wanted),
          ({ templateId, version }) => `${templateId}.${version}`,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator, typeof TemplateEditSchema, typeof PageQuerySchema>({
      method: 'get',
      path: '/v1/templates/:id/versions',
      operationId: 'listTemplateVersions',
      summary: 'Versions of a template, newest first: who, when, in which state',
      tag,
      params: idParam,
      query: PageQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(TemplateVersionSchema) } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' }, query }) => {
        const page = await readPage(
          query,
          async ({ after, limit }) => {
            const before = after === undefined ? undefined : versionNumber(after);
            const versions = await store.templateVersions.list(id, { before, limit });
            if (versions === undefined)
              throw problem('not-found', { detail: `There is no template with the id "${id}".` });
            return versions;
          },
          ({ version }) => String(version),
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator, typeof TemplateEditSchema>({
      method: 'post',
      path: '/v1/templates/:id/versions',
      operationId: 'draftTemplateVersion',
      summary: 'Begin a draft of the next version',
      description:
        'What is in force stays so. A draft may have faults; GET its lint at POST /v1/templates/lint. With If-Match, the ETag of the template, it is refused when another version is in force by now.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      body: TemplateEditSchema,
      responses: {
        201: {
          description: 'Drafted; Location and ETag say where and what.',
          schema: WrittenVersionSchema,
        },
      },
      problems: ['not-found', 'version-conflict'],
      handle: async ({ params: { id = '' }, headers, body, caller, requestId }) => {
        const baseVersion =
          headers['if-match'] === undefined ? undefined : expectedVersion(headers);
        const written = { edit: spelled(body), by: caller.id, baseVersion };
        const draft = await store.templateVersions.create(id, written);
        logger.info(versionEvent(draft, { requestId }), 'template-version.drafted');
        return editioned(201, draft);
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/templates/:id/versions/:version',
      operationId: 'getTemplateVersion',
      summary: 'One version with its content',
      tag,
      params,
      responses: { 200: { description: 'The version.', schema: WrittenVersionSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '', version = '' } }) =>
        editioned(200, await found(id, version)),
    }),
    route<Administrator, typeof TemplateEditSchema>({
      method: 'put',
      path: '/v1/templates/:id/versions/:version',
      operationId: 'editTemplateVersion',
      summary: 'Edit a draft, or a rejected version, which becomes a draft again',
      description: 'It is then over the version that is in force now.',
      tag,
      params,
      headers: ifMatchHeader,
      body: TemplateEditSchema,
      responses: moved,
      problems: moveProblems,
      handle: async ({ body, requestId, ...input }) => {
        const written = await store.templateVersions.edit(at(input), spelled(body));
        logger.info(versionEvent(written, { requestId }), 'template-version.edited');
        return editioned(200, written);
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/templates/:id/versions/:version',
      operationId: 'discardTemplateVersion',
      summary: 'Discard a version that was not published',
      description:
        'Its number is not given again. A template that was never published goes with the last of its versions.',
      tag,
      params,
      headers: ifMatchHeader,
      responses: { 204: { description: 'Discarded.' } },
      problems: moveProblems,
      handle: async ({ requestId, ...input }) => {
        const place = at(input);
        await store.templateVersions.discard(place);
        const { templateId, version } = place;
        logger.info({ templateId, version, requestId }, 'template-version.discarded');
        return { status: 204 };
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/templates/:id/versions/:version/submit',
      operationId: 'submitTemplateVersion',
      summary: 'Ask for a review',
      description: 'Refused while the lint has errors. What is submitted is not edited any more.',
      tag,
      params,
      headers: ifMatchHeader,
      responses: moved,
      problems: moveProblems,
      handle: async ({ requestId, ...input }) => {
        const { place } = await linted(input);
        const written = await store.templateVersions.submit(place);
        logger.info(versionEvent(written, { requestId }), 'template-version.submitted');
        return editioned(200, written);
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/templates/:id/versions/:version/approve',
      operationId: 'approveTemplateVersion',
      summary: 'Approve a submitted version, which publishes it',
      description:
        'By somebody who has written none of it. In force for new deliveries within 2 seconds. Refused when another version came into force since it was written.',
      tag,
      params,
      headers: ifMatchHeader,
      responses: moved,
      problems: [...moveProblems, 'approver-is-author', 'template-version-outdated'],
      handle: async ({ requestId, ...input }) => {
        const { place } = await linted(input);
        const written = await store.templateVersions.approve(place);
        logger.info(versionEvent(written, { requestId }), 'template-version.approved');
        return editioned(200, written);
      },
    }),
    route<Administrator, typeof RejectSchema>({
      method: 'post',
      path: '/v1/templates/:id/versions/:version/reject',
      operationId: 'rejectTemplateVersion',
      summary: 'Send a submitted version back, with a comment',
      tag,
      params,
      headers: ifMatchHeader,
      body: RejectSchema,
      responses: moved,
      problems: moveProblems,
      handle: async ({ body, requestId, ...input }) => {
        const written = await store.templateVersions.reject(at(input), body.comment);
        logger.info(versionEvent(written, { requestId }), 'template-version.rejected');
        return editioned(200, written);
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/templates/:id/versions/:version/publish',
      operationId: 'publishTemplateVersion',
      summary: 'Publish a draft without a review',
      description: 'Where the tenant does not require one.',
      tag,
      params,
      headers: ifMatchHeader,
      responses: moved,
      problems: [...moveProblems, 'review-required', 'template-version-outdated'],
      handle: async ({ requestId, ...input }) => {
        const { place, written: draft } = await linted(input);
        const { requiresReview } = await store.tenantPolicies.get(draft.tenantId);
        if (requiresReview === true)
          throw problem('review-required', {
            detail: `Tenant "${draft.tenantId}" requires reviews: submit it and let another person approve it.`,
          });
        const written = await store.templateVersions.publish(place);
        logger.info(versionEvent(written, { requestId }), 'template-version.published');
        return editioned(200, written);
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/templates/:id/versions/:a/diff/:b',
      operationId: 'diffTemplateVersions',
      summary: 'What changes from one version to another',
      tag,
      params: { ...idParam, a: 'Number of the one.', b: 'Number of the other.' },
      responses: { 200: { description: 'The difference.', schema: DiffSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '', a = '', b = '' } }) => {
        const { template: before, ...from } = await found(id, a);
        const { template: after, ...to } = await found(id, b);
        const diff = diffTemplates(
          { label: `${from.name} v${from.version}`, edit: before },
          { label: `${to.name} v${to.version}`, edit: after },
        );
        return { status: 200, body: { from, to, diff } };
      },
    }),
    route<Administrator, typeof RollbackSchema>({
      method: 'post',
      path: '/v1/templates/:id/rollback',
      operationId: 'rollbackTemplate',
      summary: 'Put the content of an earlier published version in force again',
      description:
        'As a new version, at once and without a review: it was in force before. If-Match is the ETag of the template.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      body: RollbackSchema,
      responses: {
        201: { description: 'The new version, in force.', schema: WrittenVersionSchema },
      },
      problems: ['not-found', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, caller, requestId }) => {
        const written = await store.templateVersions.rollback({
          templateId: id,
          expectedVersion: expectedVersion(headers),
          to: body.version,
          by: caller.id,
        });
        logger.info(versionEvent(written, { to: body.version, requestId }), 'template.rolled-back');
        return editioned(201, written);
      },
    }),
  ];
}

/** 0, which no version has, for what is no number. */
function versionNumber(text: string): number {
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
}
