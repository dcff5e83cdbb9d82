/** A version of a template held against messages of the past, before anybody publishes it. */
import { Type } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import { route, type Route } from '../../platform/http.ts';
import {
  replayFilter,
  ReplayFilterSchema,
  replayTemplate,
  ReplayedSchema,
} from '../../search/index.ts';
import { refuse, schemaFaults, type AdminDeps, type Administrator } from '../deps.ts';
import { lacking } from '../permit.ts';
import { hasRole } from '../roles.ts';

const mostMessages = 10_000;
const defaultMessages = 1000;
const mostDifferences = 100;
const defaultDifferences = 20;
const longestSpanMs = 24 * 3_600_000;
/** Replays of one process at a time: they are mostly computation. */
const mostAtOnce = 2;

const RequestSchema = Type.Object(
  {
    filter: ReplayFilterSchema,
    texts: Type.Optional(
      Type.Boolean({
        description:
          'Whether the differences show what people would read, which tells their variables: for administrators of the tenant alone. Default false.',
      }),
    ),
    segmentPrice: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1000,
        description: 'What a segment of a text message costs, in any currency; tells the cost.',
      }),
    ),
  },
  { additionalProperties: false },
);
const QuerySchema = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: mostMessages,
        description: `Most messages looked at by this call. Default ${defaultMessages}.`,
      }),
    ),
    sample: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: mostDifferences,
        description: `Most differences shown. Default ${defaultDifferences}; a limit no larger than it shows all.`,
      }),
    ),
    cursor: Type.Optional(
      Type.String({ maxLength: 500, description: '`nextCursor` of the call before.' }),
    ),
  },
  { additionalProperties: false },
);

/** The route; none where the process has no index. */
export function templateReplayRoutes(deps: AdminDeps): Route<Administrator>[] {
  const { store, connectors, logger, search } = deps;
  if (search === undefined) return [];
  let underWay = 0;
  return [
    route<Administrator, typeof RequestSchema, typeof QuerySchema>({
      method: 'post',
      path: '/v1/templates/:id/versions/:version/replay',
      operationId: 'replayTemplateVersion',
      summary: 'What would change in messages of the past; sends nothing',
      description:
        'Renders the messages of the template that were accepted within a span of at most 24 hours, newest first, with the version that each was sent with (the one in force, where it never came to that) and with this one, of any state, as if they were asked for now. It looks at no more after 20 seconds, and goes on from nextCursor.',
      tag: 'Template versions',
      params: { id: 'Id of the template: tpl_…', version: 'Number of the version.' },
      query: QuerySchema,
      body: RequestSchema,
      responses: { 200: { description: 'Counts and differences.', schema: ReplayedSchema } },
      problems: ['not-found', 'forbidden', 'rate-limited', 'search-unavailable'],
      handle: async ({ params: { id = '', version = '' }, body, query, caller, requestId }) => {
        const written = await store.templateVersions.get(id, Number.parseInt(version, 10) || 0);
        if (written === undefined)
          throw problem('not-found', { detail: `There is no version ${version} of "${id}".` });
        const { tenantId, name, template, version: number } = written;
        const { filter, texts = false, segmentPrice } = body;
        if (texts && !hasRole(caller, 'administrator', tenantId))
          throw lacking('administrator', tenantId);
        refuseSpan(filter);
        const versionInForce = (await store.templates.get(id))?.version ?? number;
        if (underWay >= mostAtOnce)
          throw problem('rate-limited', {
            detail: `${mostAtOnce} replays are under way here; ask again when one has ended.`,
            retryAfterSeconds: 10,
          });
        underWay += 1;
        try {
          const replayed = await replayTemplate(
            {
              ...search,
              connectors,
              schemaFaults,
              versionOf: (own) => store.templates.version(tenantId, name, own),
            },
            {
              filter: replayFilter(filter, { tenantId, template: name }),
              version: number,
              template,
              versionInForce,
              limit: query.limit ?? defaultMessages,
              sample: query.sample ?? defaultDifferences,
              cursor: query.cursor,
              hasTexts: texts,
              segmentPrice,
            },
          );
          const { looked, different, fails } = replayed;
          logger.info(
            { templateId: id, tenantId, version: number, looked, different, fails, requestId },
            'template-version.replayed',
          );
          return { status: 200, body: replayed };
        } finally {
          underWay -= 1;
        }
      },
    }),
  ];
}

function refuseSpan({ from, until }: { readonly from: string; readonly until: string }): void {
  const spanMs = Date.parse(until) - Date.parse(from);
  if (spanMs <= 0) refuse([{ pointer: '/filter/until', detail: 'must be later than from' }]);
  if (spanMs > longestSpanMs)
    refuse([{ pointer: '/filter/until', detail: 'must be within 24 hours after from' }]);
}
