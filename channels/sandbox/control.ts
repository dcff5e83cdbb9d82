/** The sandbox's control port: JSON over HTTP, and a page that shows what phones show. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Static, TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { readBody } from './http-listener.ts';

export interface ControlInput<Body> {
  readonly query: URLSearchParams;
  readonly body: Body;
}

export interface ControlRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Exact path: `/sms-aliyun/faults`. */
  readonly path: string;
  readonly body?: TSchema;
  /** What is answered as JSON; a string is answered as an HTML page. */
  readonly handle: (input: ControlInput<never>) => unknown;
}

/** Declares a route whose handler gets the body that its schema describes. */
export function controlRoute<Body extends TSchema = TSchema>(
  definition: Omit<ControlRoute, 'handle' | 'body'> & {
    readonly body?: Body;
    readonly handle: (input: ControlInput<Static<Body>>) => unknown;
  },
): ControlRoute {
  return definition;
}

/** The caller's mistake: answered with 400 and its text. */
export class ControlFault extends Error {}

const maxBodyBytes = 4 * 1024 * 1024;

/** Serves the routes. Unknown paths 404, wrong bodies 400, both with `{ "error": … }`. */
export function createControlHandler(routes: readonly ControlRoute[]): RequestListener {
  return (request, response) => {
    answer(routes, request, response).catch((error: unknown) => {
      const isCallers = error instanceof ControlFault || error instanceof SyntaxError;
      sendJson(response, isCallers ? 400 : 500, { error: (error as Error).message });
    });
  };
}

async function answer(
  routes: readonly ControlRoute[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://sandbox');
  const route = routes.find(
    ({ method, path }) => method === request.method && path === url.pathname,
  );
  if (route === undefined)
    return sendJson(response, 404, {
      error: `there is no ${request.method} ${url.pathname}; GET /routes lists what there is`,
    });
  const text = (await readBody(request, maxBodyBytes)).toString('utf8');
  const body: unknown = text === '' ? undefined : JSON.parse(text);
  if (route.body !== undefined && !Check(route.body, body)) {
    const faults = Errors(route.body, body).map(
      (fault) => `${fault.instancePath} ${fault.message}`,
    );
    throw new ControlFault(faults.join('; ') || 'the body does not fit');
  }
  const result: unknown = await route.handle({ query: url.searchParams, body: body as never });
  if (typeof result !== 'string') return sendJson(response, 200, result ?? {});
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(result);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return void response.destroy();
  response
    .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
    .end(JSON.stringify(body));
}

/** A query parameter as a whole number. Errors: ControlFault where it is none. */
export function wholeParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new ControlFault(`${name} must be a whole number, not "${text}"`);
  return value;
}
