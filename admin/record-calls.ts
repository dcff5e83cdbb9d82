/**
 * The audit of calls: what is not a GET is written down before it is done, with what was there before, and again when it is
 * done; so is what was refused. What cannot be written down is not done.
 */
import type { AuditEntry } from '../contracts/audit.ts';
import { Problem, problems } from '../contracts/problems.ts';
import type { Logger } from '../platform/logger.ts';
import type { Reply, Route } from '../platform/http.ts';
import type { AuditIntent, Store } from '../store/index.ts';
import type { Administrator, AdminDeps } from './deps.ts';
import { permissionOf, type Input } from './permit.ts';

/** Longer states are named by their size: a list of the log stays bounded. */
const longestState = 64 * 1024;

type Call = Pick<Input, 'params' | 'requestId'> & {
  /** Nobody yet, at a login. */
  readonly caller: Administrator | undefined;
  readonly tenantId?: string | undefined;
  readonly body?: unknown;
};

/** Runs a call between its two marks in the log. Errors: store-unavailable (nothing is done then), the handler's own. */
export async function recordCall(
  { store, logger }: AdminDeps,
  entry: Route<Administrator>,
  {
    call,
    before,
    run,
  }: {
    readonly call: Call;
    /** Reads what is there now. */
    readonly before?: () => Promise<unknown>;
    readonly run: () => Promise<Reply>;
  },
): Promise<Reply> {
  const intent = await intentOf(store, entry, call);
  const was = intent.target === undefined ? undefined : stateOf(await before?.());
  const id = await store.audit.begin({ ...intent, before: was });
  try {
    const reply = await run();
    await settle(logger, id, () =>
      store.audit.end(id, {
        status: reply.status,
        ...(intent.target !== undefined && endOf(reply, intent.target)),
      }),
    );
    return reply;
  } catch (error) {
    const code = error instanceof Problem ? error.code : 'internal-error';
    await settle(logger, id, () =>
      store.audit.end(id, { status: problems[code].status, problem: code }),
    );
    throw error;
  }
}

/** What was done is done: an entry without an end says that its outcome has to be looked for. */
async function settle(logger: Logger, id: string, end: () => Promise<void>): Promise<void> {
  await end().catch((error: unknown) =>
    logger.error({ error, auditId: id }, 'audit.end-not-written'),
  );
}

async function intentOf(
  store: Store,
  entry: Route<Administrator>,
  { caller, params, body, requestId, tenantId }: Call,
): Promise<AuditIntent> {
  const { target, targetOf, tenant } = permissionOf(entry);
  const named = targetOf === undefined ? undefined : await targetOf(store, body as never);
  // Of `/v1/templates/:id/versions/:version` the template, where that is the target; else what comes last.
  const inPath =
    tenant.in === 'path' && tenant.kind === target
      ? params[tenant.param]
      : Object.values(params).at(-1);
  const id = (named ?? inPath)?.slice(0, 128);
  return {
    ...(caller !== undefined && { actor: { id: caller.id, name: caller.name } }),
    operationId: entry.operationId,
    ...(tenantId !== undefined && { tenantId }),
    ...(target !== undefined && { target: { type: target, ...(id !== undefined && { id }) } }),
    requestId,
  };
}

/** What was made has its id in the answer. */
function endOf({ status, body }: Reply, target: NonNullable<AuditEntry['target']>) {
  const {
    user,
    id = user?.id,
    tenantId,
  } = (body ?? {}) as {
    id?: unknown;
    tenantId?: unknown;
    user?: { id?: unknown };
  };
  const isNamedByAnswer = (status === 201 || target.id === undefined) && typeof id === 'string';
  return {
    after: stateOf(body),
    ...(isNamedByAnswer && { targetId: id.slice(0, 128) }),
    ...(typeof tenantId === 'string' && { tenantId }),
  };
}

const secretName = /^key$|secret|password|token$/i;
const secretValue = /^(mck|mcs|whsec)_/;

/** A state as it may be kept: without secrets, of bounded length. */
export function stateOf(value: unknown): unknown {
  if (value === undefined) return undefined;
  const text = JSON.stringify(value, (name, inner: unknown) =>
    (secretName.test(name) && typeof inner !== 'boolean') ||
    (typeof inner === 'string' && secretValue.test(inner))
      ? '(left out)'
      : inner,
  );
  return text.length > longestState ? { leftOut: `${text.length} characters` } : JSON.parse(text);
}
