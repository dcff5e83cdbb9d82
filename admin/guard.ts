/** What every call of the API passes, in front of its handler: its caller's role, its tenant, the audit log. */
import { Problem } from '../contracts/problems.ts';
import type { Credentials, Reply, Route } from '../platform/http.ts';
import type { Administrator, AdminDeps } from './deps.ts';
import { homeOf, permissionOf, permit, permitRole, type Input } from './permit.ts';
import { recordCall } from './record-calls.ts';

export interface GuardOptions {
  readonly deps: AdminDeps;
  readonly authenticate: (headers: Credentials['headers']) => Promise<Administrator>;
}

type Refused = Pick<Input, 'caller' | 'params' | 'requestId'>;

/** The same routes, guarded. */
export function guardRoutes(
  routes: readonly Route<Administrator>[],
  options: GuardOptions,
): Route<Administrator>[] {
  return routes.map((entry) => guard(entry, { ...options, sibling: siblingOf(entry, routes) }));
}

function guard(
  entry: Route<Administrator>,
  { deps, authenticate, sibling }: GuardOptions & { sibling: Route<Administrator> | undefined },
): Route<Administrator> {
  const isChange = entry.method !== 'get' || permissionOf(entry).isChange === true;
  const refused = async (error: unknown, call: Refused): Promise<never> => {
    if (error instanceof Problem && (isChange || error.code === 'forbidden'))
      await recordCall(deps, entry, {
        call: { ...call, tenantId: homeOf(call.caller) },
        run: () => Promise.reject(error),
      });
    throw error;
  };
  const handle = handler(entry);

  return {
    ...entry,
    ...(entry.auth !== 'none' && {
      // Before the body is read, so that who may not do it cannot make us read megabytes.
      authenticate: async ({ headers, params, requestId }: Credentials) => {
        const caller = await authenticate(headers);
        try {
          permitRole(entry, caller);
        } catch (error) {
          await refused(error, { caller, params, requestId });
        }
        return caller;
      },
    }),
    handle: async (given: Input) => {
      const { input, tenantId } = await permit(deps.store, entry, given).catch((error: unknown) =>
        refused(error, given),
      );
      if (!isChange) return handle(input);
      const readBefore = sibling && handler(sibling);
      return recordCall(deps, entry, {
        call: { ...input, tenantId: tenantId ?? homeOf(input.caller) },
        ...(readBefore && { before: () => stateBefore(readBefore, input) }),
        run: () => handle(input),
      });
    },
  };
}

/** A handler's input is typed by its route's schemas, which the value has passed. */
function handler(entry: Route<Administrator>): (input: Input) => Promise<Reply> {
  return entry.handle as (input: Input) => Promise<Reply>;
}

/** The GET that shows what a call changes: of the same path, or for an action on a thing (`…/:id/verify`) of the thing. */
function siblingOf(
  { method, path, ...entry }: Route<Administrator>,
  routes: readonly Route<Administrator>[],
): Route<Administrator> | undefined {
  const { target } = permissionOf(entry);
  if (method === 'get') return undefined;
  const wanted = method === 'post' ? path.replace(/\/[^/:]+$/, '') : path;
  return routes.find(
    (other) =>
      other.method === 'get' &&
      other.path === wanted &&
      target !== undefined &&
      permissionOf(other).target === target,
  );
}

async function stateBefore(read: (input: Input) => Promise<Reply>, input: Input): Promise<unknown> {
  try {
    const { body } = await read({ ...input, method: 'GET', query: {}, body: undefined });
    return body;
  } catch (error) {
    // What is not there has no state; the handler says so.
    if (error instanceof Problem && error.code === 'not-found') return undefined;
    throw error;
  }
}
