/**
 * HTTP in: a route table in, an express server out. Validates what comes in against the route's schemas, answers problems
 * (RFC 9457) in one place, serves /healthz, /readyz, /metrics, the OpenAPI document and its page.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Static, TSchema } from 'typebox';
import {
  Problem,
  problem,
  problems,
  type FieldFault,
  type ProblemCode,
} from '../contracts/problems.ts';
import { createBodyRoom } from './http-room.ts';
import { createCutOff, linger, noBody, streamBody, streamTimeoutMs } from './http-stream.ts';
import { createValidator, type Validator } from './validate.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';

/** A handler's answer. `body` is sent as JSON unless `text` or `stream` is given. */
export interface Reply {
  readonly status: number;
  readonly body?: unknown;
  readonly text?: { readonly contentType: string; readonly value: string };
  readonly headers?: Readonly<Record<string, string>>;
  /** Writes the answer from its first line on, and ends it; it must end when the server stops. */
  readonly stream?: (response: ServerResponse) => void;
}

/** What a caller shows of who it is. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly params: Readonly<Record<string, string>>;
  readonly requestId: string;
}

export interface RouteInput<Body, Query, Caller> {
  readonly body: Body;
  readonly query: Query;
  readonly params: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly rawBody: Uint8Array;
  /** For bodyKind stream: the body as it comes. Errors while it is read: body-too-large, malformed-request. */
  readonly bodyStream: AsyncIterable<Buffer>;
  readonly method: string;
  readonly requestId: string;
  readonly caller: Caller;
}

export interface Route<Caller = unknown> {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** Express path: `/v1/messages/:id`. */
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  /** none: open to all, as receipt addresses are. Default: a key is needed. */
  readonly auth?: 'none';
  /** Instead of the server's own: where others than holders of a key may call. */
  readonly authenticate?: (credentials: Credentials) => Promise<Caller>;
  /** Pages of any site may call it; for what is protected by a bearer token, never by a cookie. */
  readonly isForBrowsers?: true;
  readonly body?: TSchema;
  /** raw: the body reaches the handler as bytes, unparsed; stream: while it comes, never held in memory. */
  readonly bodyKind?: 'json' | 'raw' | 'stream';
  /** Media types of a stream. */
  readonly bodyTypes?: readonly string[];
  readonly maxBodyBytes?: number;
  readonly query?: TSchema;
  /** Request headers that the handler reads, for the document: name → description. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly params?: Readonly<Record<string, string>>;
  readonly responses: Readonly<
    Record<number, { readonly description: string; readonly schema?: TSchema }>
  >;
  readonly problems: readonly ProblemCode[];
  readonly handle: (input: RouteInput<never, never, Caller>) => Promise<Reply>;
}

/** Declares a route with its handler's input typed by the route's own schemas. */
export function route<Caller, Body extends TSchema = TSchema, Query extends TSchema = TSchema>(
  definition: Omit<Route<Caller>, 'handle' | 'body' | 'query'> & {
    readonly body?: Body;
    readonly query?: Query;
    readonly handle: (input: RouteInput<Static<Body>, Static<Query>, Caller>) => Promise<Reply>;
  },
): Route<Caller> {
  return definition;
}

export interface HttpServerOptions<Caller> {
  readonly routes: readonly Route<Caller>[];
  /** Says who calls, or throws the problem `unauthorized`. */
  readonly authenticate: (headers: Readonly<Record<string, string | undefined>>) => Promise<Caller>;
  /** Throws a problem when this caller may not call the route; asked before the body is read. */
  readonly authorize?: (caller: Caller, entry: Route<Caller>) => void;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Readiness: resolves with the servers that do not answer now; an empty list is ready. */
  readonly notReady: () => Promise<readonly string[]> | readonly string[];
  /** Bytes that request bodies which are held in memory may have together; default 64 MiB. */
  readonly mostBodyBytes?: number;
  /** A sender of a streamed body that sends nothing for so long is gone. Default one minute. */
  readonly silenceMs?: number;
  /** Served at /openapi.json, with a page at /docs. */
  readonly openapi?: Readonly<Record<string, unknown>>;
  readonly docsPage?: express.RequestHandler;
}

const defaultMaxBodyBytes = 1024 * 1024;
/** Within this a request must have come whole; one whose body is a stream has longer. */
const requestTimeoutMs = 60_000;
const closeIdleEveryMs = 100;
const requestTimeoutSetting = 'request timeout';

/** Builds the express application of a process. */
export function createApp<Caller>(options: HttpServerOptions<Caller>): express.Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use((request, response, next) => {
    const given = request.get('x-request-id');
    response.locals['requestId'] =
      given !== undefined && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
    response.set('x-request-id', response.locals['requestId']);
    next();
  });
  if (options.routes.some((entry) => entry.bodyKind === 'stream')) {
    // One number for the whole server: who may not take long is cut off below.
    app.set(requestTimeoutSetting, streamTimeoutMs);
    app.use(createCutOff(requestTimeoutMs));
  }
  app.get('/healthz', (_request, response) => void response.json({ status: 'alive' }));
  app.get('/readyz', async (_request, response) => {
    const waitingFor = await options.notReady();
    response
      .status(waitingFor.length === 0 ? 200 : 503)
      .json({ status: waitingFor.length === 0 ? 'ready' : 'waiting', waitingFor });
  });
  app.get('/metrics', async (_request, response) => {
    response.type('text/plain; version=0.0.4').send(await options.metrics.text());
  });
  if (options.openapi !== undefined)
    app.get('/openapi.json', (_request, response) => void response.json(options.openapi));
  if (options.docsPage !== undefined) app.use('/docs', options.docsPage);
  const durations = options.metrics.histogram(
    'http_request_duration_seconds',
    'Time to answer, by route.',
    ['operation', 'status'],
  );
  const bodyRoom = createBodyRoom(options.mostBodyBytes);
  for (const entry of options.routes) {
    app[entry.method](
      entry.path,
      (_request, response, next) => {
        const end = durations.startTimer({ operation: entry.operationId });
        // How long somebody listens to a stream says nothing of us.
        response.on('finish', () => {
          if (response.locals['isStream'] !== true) end({ status: String(response.statusCode) });
        });
        if (entry.isForBrowsers === true) allowBrowsers(response);
        next();
      },
      ...routeHandlers(entry, options, bodyRoom),
    );
  }
  for (const path of new Set(options.routes.map((entry) => entry.path))) {
    const here = options.routes.filter((entry) => entry.path === path);
    const allowed = here.map((entry) => entry.method.toUpperCase());
    if (here.some((entry) => entry.isForBrowsers === true))
      app.options(path, (_request, response) => {
        allowBrowsers(response);
        response.set('access-control-allow-methods', allowed.join(', '));
        response.set('access-control-allow-headers', 'authorization, content-type, last-event-id');
        response.set('access-control-max-age', '86400');
        response.status(204).end();
      });
    app.all(path, (_request, response) => {
      response.set('allow', allowed.join(', '));
      throw problem('method-not-allowed', { detail: `Allowed here: ${allowed.join(', ')}.` });
    });
  }
  app.use((request) => {
    throw problem('not-found', {
      detail: `${request.method} ${request.path} is not an address of this service.`,
    });
  });
  app.use(problemHandler(options.logger));
  return app;
}

function allowBrowsers(response: Response): void {
  response.set('access-control-allow-origin', '*');
  response.set('access-control-expose-headers', 'retry-after, x-request-id');
}

function routeHandlers<Caller>(
  entry: Route<Caller>,
  options: HttpServerOptions<Caller>,
  bodyRoom: ReturnType<typeof createBodyRoom>,
): express.RequestHandler[] {
  const limit = entry.maxBodyBytes ?? defaultMaxBodyBytes;
  const streaming = { mostBytes: limit, silenceMs: options.silenceMs };
  const bodyValidator = entry.body === undefined ? undefined : createValidator(entry.body);
  const queryValidator = entry.query === undefined ? undefined : createValidator(entry.query);
  const parseBody = express.raw({ limit, type: () => true });
  const takesBody = entry.body !== undefined || entry.bodyKind === 'raw';

  // The key is checked before the body is read, so that strangers cannot make us read megabytes.
  const authenticate: express.RequestHandler = async (request, response, next) => {
    if (entry.auth !== 'none') {
      const caller =
        entry.authenticate === undefined
          ? await options.authenticate(flatHeaders(request))
          : await entry.authenticate({
              headers: flatHeaders(request),
              query: request.query,
              params: request.params as Record<string, string>,
              requestId: response.locals['requestId'] as string,
            });
      options.authorize?.(caller, entry);
      response.locals['caller'] = caller;
    }
    next();
  };
  const handle: express.RequestHandler = async (request, response) => {
    const rawBody: Uint8Array = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const input: RouteInput<unknown, unknown, Caller> = {
      bodyStream: entry.bodyKind === 'stream' ? streamBody(request, response, streaming) : noBody(),
      body: bodyValidator === undefined ? undefined : readBody(request, rawBody, bodyValidator),
      query: readQuery(request, queryValidator),
      params: request.params as Record<string, string>,
      headers: flatHeaders(request),
      rawBody,
      method: request.method,
      requestId: response.locals['requestId'] as string,
      caller: response.locals['caller'] as Caller,
    };
    const reply = await entry.handle(input as RouteInput<never, never, Caller>);
    send(response, reply);
  };
  return takesBody ? [authenticate, bodyRoom(limit), parseBody, handle] : [authenticate, handle];
}

function send(response: Response, reply: Reply): void {
  if (reply.headers !== undefined) response.set(reply.headers as Record<string, string>);
  response.status(reply.status);
  if (reply.stream !== undefined) {
    response.locals['isStream'] = true;
    reply.stream(response);
  } else if (reply.text !== undefined) response.type(reply.text.contentType).send(reply.text.value);
  else if (reply.body === undefined) response.end();
  else response.json(reply.body);
}

function readBody(request: Request, rawBody: Uint8Array, validator: Validator): unknown {
  if (!request.is('json') && !request.is('+json'))
    throw problem('unsupported-media-type', { detail: 'Send the body as application/json.' });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(rawBody));
  } catch (error) {
    // Node quotes the body around the fault, which may be a secret or a phone number.
    const why =
      error instanceof SyntaxError
        ? error.message.replace(/,? ?(\.\.\.)?".*is not valid JSON$/s, '')
        : 'it is not valid UTF-8';
    throw problem('malformed-request', {
      detail: `The body is not JSON: ${why}`,
      errors: [{ pointer: '', detail: why }],
    });
  }
  const faults = validator.faults(value);
  if (faults.length > 0)
    throw problem('validation-failed', { detail: summary(faults), errors: faults });
  return value;
}

function readQuery(request: Request, validator: Validator | undefined): unknown {
  const query = request.query as Record<string, unknown>;
  if (validator === undefined) {
    const [unknown] = Object.keys(query);
    if (unknown !== undefined)
      throw problem('validation-failed', {
        detail: `There is no query parameter "${unknown}" here.`,
        errors: [{ pointer: `query/${unknown}`, detail: 'is not known here' }],
      });
    return {};
  }
  const value = validator.convert({ ...query });
  const faults = validator
    .faults(value)
    .map((fault) => ({ ...fault, pointer: `query${fault.pointer}` }));
  if (faults.length > 0)
    throw problem('validation-failed', { detail: summary(faults), errors: faults });
  return value;
}

function summary(faults: readonly FieldFault[]): string {
  const [first] = faults;
  if (first === undefined) return '';
  const where = first.pointer === '' ? 'The body' : first.pointer;
  return `${where} ${first.detail}${faults.length > 1 ? ` (and ${faults.length - 1} more)` : ''}`;
}

function flatHeaders(request: Request): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : value,
    ]),
  );
}

function problemHandler(logger: Logger) {
  // oxlint-disable-next-line max-params -- express tells an error handler by its four parameters
  return (error: unknown, request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) return next(error);
    const found = toProblem(error);
    const requestId = response.locals['requestId'] as string;
    if (problems[found.code].status >= 500)
      logger.error(
        { error, code: found.code, requestId, method: request.method, path: patternOf(request) },
        'http.problem',
      );
    // Refused before its body was read: the connection would be held by the rest of it.
    response.once('finish', () => linger(request));
    const { retryAfterSeconds } = found.options;
    if (retryAfterSeconds !== undefined)
      response.set('retry-after', String(Math.ceil(retryAfterSeconds)));
    if (found.code === 'unauthorized') response.set('www-authenticate', 'Bearer');
    if (found.options.headers !== undefined) response.set({ ...found.options.headers });
    response
      .status(problems[found.code].status)
      .type('application/problem+json')
      .send(JSON.stringify(renderProblem(found, requestId)));
  };
}

/** The route, not what was asked for: an address may name a person. */
function patternOf(request: Request): string | undefined {
  return (request.route as { path?: string } | undefined)?.path;
}

/** The RFC 9457 document of a problem. `instance` is the request's id, as in the logs. */
export function renderProblem(found: Problem, requestId: string): Record<string, unknown> {
  const { detail, errors, stored, violatedPolicies } = found.options;
  return {
    type: `urn:message-center:problem:${found.code}`,
    title: problems[found.code].title,
    status: problems[found.code].status,
    ...(detail !== undefined && { detail }),
    instance: `urn:request:${requestId}`,
    ...(errors !== undefined && { errors }),
    ...(stored !== undefined && { stored }),
    ...(violatedPolicies !== undefined && { 'violated-policies': violatedPolicies }),
  };
}

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const { type, status, limit } = error as { type?: string; status?: number; limit?: number };
  if (type === 'entity.too.large')
    return problem('body-too-large', {
      detail: `The body may have ${limit} bytes at most.`,
      errors: [{ pointer: '', detail: `is over ${limit} bytes` }],
    });
  if (type === 'encoding.unsupported')
    return problem('unsupported-media-type', { detail: 'This Content-Encoding is not supported.' });
  if (error instanceof URIError || (status !== undefined && status >= 400 && status < 500))
    return problem('malformed-request', {
      detail: 'The request is not valid HTTP for this service.',
    });
  return problem('internal-error', { cause: error });
}

export interface RunningServer {
  readonly port: number;
  /** Takes no new connection, waits for answers under way, then ends what is idle. */
  close(): Promise<void>;
}

/** Starts listening. Errors: the port is in use (said in one sentence). */
export async function listen(
  app: express.Express,
  host: string,
  port: number,
): Promise<RunningServer> {
  const requestTimeout = (app.get(requestTimeoutSetting) as number | undefined) ?? requestTimeoutMs;
  const server: Server = createServer({ keepAliveTimeout: 65_000, requestTimeout }, app);
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`Port ${port} on ${host} is in use by another program`, { cause: error })
          : error,
      ),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        const closeIdle = () => {
          server.closeIdleConnections();
          // Not idle to Node before the first request: opened ahead of time, as proxies do.
          for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
        };
        // One that is answered may become idle only when the rest of its request has come.
        const timer = setInterval(closeIdle, closeIdleEveryMs);
        server.close(() => {
          clearInterval(timer);
          resolve();
        });
        closeIdle();
      }),
  };
}

/** Serves /healthz, /readyz and /metrics for a process that has no API; `waitingFor` names the servers it waits for. */
export async function serveHealth(options: {
  readonly host: string;
  readonly port: number;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly waitingFor: ReadonlySet<string>;
}): Promise<RunningServer> {
  const { host, port, logger, metrics, waitingFor } = options;
  const app = createApp<undefined>({
    routes: [],
    authenticate: async () => undefined,
    logger,
    metrics,
    notReady: () => [...waitingFor],
  });
  return listen(app, host, port);
}
