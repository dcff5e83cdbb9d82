/** The OpenAPI 3.1 document of a route table, and the page that shows it. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import express from 'express';
import type { TSchema } from 'typebox';
import { problems } from '../contracts/problems.ts';
import type { Route } from './http.ts';

export interface ApiInfo {
  readonly title: string;
  readonly description: string;
  readonly version: string;
  /** How the key is called in the document. */
  readonly keyDescription: string;
}

/** Who may call is told by `auth` and in words. */
type Documented = Omit<Route<never>, 'authenticate'>;

/** Builds the document. Deterministic, so that the committed file can be compared with it. */
export function createOpenapi(
  info: ApiInfo,
  routes: readonly Documented[],
): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const entry of routes) {
    const path = entry.path.replaceAll(/:([A-Za-z]+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][entry.method] = operation(entry);
  }
  return {
    openapi: '3.1.0',
    info: { title: info.title, description: info.description, version: info.version },
    paths,
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: info.keyDescription },
      },
      schemas: { Problem: problemSchema },
    },
  };
}

const problemSchema = {
  type: 'object',
  description: 'RFC 9457 problem details.',
  required: ['type', 'title', 'status', 'instance'],
  properties: {
    type: { type: 'string', description: 'urn:message-center:problem:<code>' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    instance: { type: 'string', description: 'urn:request:<x-request-id>' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['pointer', 'detail'],
        properties: { pointer: { type: 'string' }, detail: { type: 'string' } },
      },
    },
    stored: {
      type: 'string',
      enum: ['no', 'unknown'],
      description: 'On 503: whether the message may have been stored.',
    },
    'violated-policies': {
      type: 'array',
      items: { type: 'string' },
      description: 'On 429: names of the quotas that are used up, as RateLimit-Policy has them.',
    },
  },
};

function operation(entry: Documented): Record<string, unknown> {
  const parameters = [
    ...[...entry.path.matchAll(/:([A-Za-z]+)/g)].map(([, name = '']) => ({
      name,
      in: 'path',
      required: true,
      description: entry.params?.[name] ?? name,
      schema: { type: 'string' },
    })),
    ...queryParameters(entry.query),
    ...Object.entries(entry.headers ?? {}).map(([name, description]) => ({
      name,
      in: 'header',
      required: false,
      description,
      schema: { type: 'string' },
    })),
  ];
  const always: (keyof typeof problems)[] = [
    'internal-error',
    ...(entry.auth === 'none' ? [] : (['unauthorized', 'forbidden', 'store-unavailable'] as const)),
    ...(entry.bodyKind === 'stream'
      ? (['malformed-request', 'unsupported-media-type', 'body-too-large'] as const)
      : []),
    ...(entry.body === undefined
      ? []
      : ([
          'malformed-request',
          'validation-failed',
          'unsupported-media-type',
          'body-too-large',
          'too-busy',
        ] as const)),
    ...(entry.query === undefined && !entry.path.includes(':')
      ? []
      : (['validation-failed'] as const)),
  ];
  const byStatus = new Map<number, string[]>();
  for (const code of new Set([...entry.problems, ...always])) {
    const { status } = problems[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses: Record<string, { description: string; content?: Record<string, unknown> }> = {};
  for (const [status, { description, schema }] of Object.entries(entry.responses))
    responses[status] = {
      description,
      ...(schema !== undefined && { content: { 'application/json': { schema } } }),
    };
  for (const [status, codes] of [...byStatus].toSorted(([a], [b]) => a - b)) {
    const told = codes.map((code) => `${code}: ${problems[code as keyof typeof problems].title}`);
    // A status may be a problem or an answer of the route's own.
    const own = responses[status];
    responses[status] = {
      description: [...(own === undefined ? [] : [own.description]), ...told].join('. '),
      content: {
        ...own?.content,
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      },
    };
  }
  return {
    operationId: entry.operationId,
    summary: entry.summary,
    ...(entry.description !== undefined && { description: entry.description }),
    tags: [entry.tag],
    ...(entry.auth === 'none' ? {} : { security: [{ key: [] }] }),
    ...(parameters.length > 0 && { parameters }),
    ...(entry.body !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: entry.body } } },
    }),
    ...(entry.bodyTypes !== undefined && {
      requestBody: {
        required: true,
        content: Object.fromEntries(
          entry.bodyTypes.map((type) => [type, { schema: { type: 'string' } }]),
        ),
      },
    }),
    responses,
  };
}

function queryParameters(query: TSchema | undefined): unknown[] {
  if (query === undefined) return [];
  const { properties = {}, required = [] } = query as {
    properties?: Record<string, TSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    description: (schema as { description?: string }).description ?? name,
    schema,
  }));
}

/** The page at /docs: Swagger UI from the package, no outside address is loaded. */
export function createDocsPage(title: string): express.RequestHandler {
  const require = createRequire(import.meta.url);
  const assets = dirname(require.resolve('swagger-ui-dist/package.json'));
  const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"></head><body><div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({ url: '/openapi.json', dom_id: '#page', deepLinking: true, persistAuthorization: true })</script>
</body></html>`;
  const router = express.Router();
  router.get('/', (_request, response) => void response.type('html').send(page));
  router.use(express.static(assets, { index: false }));
  return router;
}
