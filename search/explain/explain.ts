/** `GET /v1/messages/:id/explain`: one call that says what became of a message, what it waits for, and who is ahead. */
import type { Client } from '@temporalio/client';
import { Type, type Static } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import { AttemptSchema, ReasonSchema, type Snapshot } from '../../contracts/result.ts';
import { statuses, type Status } from '../../contracts/status.ts';
import { verdictOf } from '../../contracts/stops.ts';
import type { Priority } from '../../contracts/topics.ts';
import { route, type Route } from '../../platform/http.ts';
import { withDeadline } from '../../platform/lifecycle.ts';
import { messageIdTimeMs, type MessageIds } from '../../platform/message-id.ts';
import { runStatus } from '../../platform/run-status.ts';
import type { Store } from '../../store/index.ts';
import type { IndexedAttempt } from '../../store/message-index.ts';
import { tenantQuery, type SearchDeps } from '../audience.ts';
import { readRequest, RequestSchema } from './request.ts';
import { countAhead, isKeyStopped, readRun } from './run.ts';
import { explainWait, waits } from './wait.ts';

export type ExplainDeps<Caller> = Pick<
  SearchDeps<Caller>,
  'index' | 'names' | 'logger' | 'tenantOf' | 'audience'
> & {
  readonly temporal: Client;
  readonly namespace: string;
  readonly ids: Pick<MessageIds, 'isGenuine'>;
  readonly store: Pick<Store, 'channelAccounts' | 'circuits' | 'stops' | 'dayKeyRing'>;
  /** Seconds of work that an account's queue holds; what is beyond stays in RocketMQ. */
  readonly paceSeconds: number;
  /** Base of the Temporal UI; absent: no link is given. */
  readonly temporalUiUrl?: string;
};

/** Somebody waits for the answer, and what is away is left out of it. */
const deadlineMs = 3000;
const idPattern = /^msg_[0-9a-hjkmnp-tv-z]{26}$/;
const mostStops = 500;

const time = (description: string) => Type.String({ format: 'date-time', description });
const servers = ['Elasticsearch', 'Temporal', 'MySQL'] as const;
type Server = (typeof servers)[number];

export const ExplanationSchema = Type.Object({
  id: Type.String(),
  tenantId: Type.String(),
  status: Type.Optional(
    Type.Enum([...statuses], { description: 'Missing where no server could say it.' }),
  ),
  reason: Type.Optional(ReasonSchema),
  waitsFor: Type.Object({
    code: Type.Enum([...waits]),
    detail: Type.String({ description: 'In words.' }),
  }),
  nextTryAt: Type.Optional(time('When it is tried, or goes on, next; missing where nobody knows.')),
  ahead: Type.Optional(
    Type.Object(
      { about: Type.Integer(), seconds: Type.Optional(Type.Integer()) },
      {
        description:
          'About how many at its priority or above wait in the queue of its account, and how long they take at the limit in force.',
      },
    ),
  ),
  account: Type.Optional(
    Type.Object({
      id: Type.String(),
      name: Type.String(),
      ratePerSecond: Type.Number(),
      limitInForce: Type.Union([Type.Number(), Type.Null()], {
        description: 'What Temporal enforces now; 0: nothing goes. null: not set yet.',
      }),
      isStopped: Type.Boolean(),
      circuit: Type.Optional(
        Type.Object({
          reason: ReasonSchema,
          openedAt: time('Since when it is held.'),
          nextTryAt: time('When a harmless call tries it.'),
        }),
      ),
    }),
  ),
  send: Type.Optional(
    Type.Object(
      {
        state: Type.Enum(['scheduled', 'started', 'paused']),
        attempt: Type.Integer({ description: "Temporal's own count, from 1." }),
        startedAt: Type.Optional(time('When the last attempt began.')),
        lastFailure: Type.Optional(ReasonSchema),
        nextAttemptAt: Type.Optional(time('When it is due again.')),
      },
      { description: 'The send that its run waits for.' },
    ),
  ),
  timeline: Type.Array(
    Type.Object({
      at: Type.String({ format: 'date-time' }),
      event: Type.String({ description: 'accepted, attempt, or the status it has now.' }),
      attempt: Type.Optional(AttemptSchema),
      reason: Type.Optional(ReasonSchema),
    }),
  ),
  request: Type.Optional(RequestSchema),
  run: Type.Optional(
    Type.Object({
      id: Type.Optional(Type.String()),
      url: Type.String({ description: 'Its page in the Temporal UI.' }),
    }),
  ),
  missing: Type.Array(Type.Enum([...servers]), {
    description: 'Servers that did not answer: what they know is not in this.',
  }),
});
export type Explanation = Static<typeof ExplanationSchema>;

/** The route. */
export function explainRoute<Caller>(deps: ExplainDeps<Caller>): Route<Caller> {
  const QuerySchema = Type.Object(tenantQuery(deps.audience), { additionalProperties: false });
  return route<Caller, never, typeof QuerySchema>({
    method: 'get',
    path: '/v1/messages/:id/explain',
    operationId: 'explainMessage',
    summary: 'What became of it, what it waits for, who is ahead',
    description:
      'Put together from the index, the delivery run and the accounts at this moment. What a server that is away would have said is left out, and `missing` names the server.',
    tag: 'messages',
    params: { id: 'Message id' },
    query: QuerySchema,
    responses: { 200: { description: 'The explanation.', schema: ExplanationSchema } },
    problems: ['message-not-found'],
    handle: async (input) => {
      const { id = '' } = input.params;
      const { tenantId: named } = input.query;
      const isNamed = deps.audience === 'services' || named !== undefined;
      const check = (tenantId: string) => {
        if (deps.ids.isGenuine(id, tenantId)) return tenantId;
        throw problem('message-not-found', {
          detail: `${id} is not the id of a message of this tenant.`,
        });
      };
      if (isNamed) check(await deps.tenantOf(input));
      else if (!idPattern.test(id))
        throw problem('message-not-found', { detail: `${id} is not the id of a message.` });
      const asked = createAsking(deps, id);
      const [snapshot, run] = await Promise.all([
        asked.of('Elasticsearch', () => deps.index.get(id, messageIdTimeMs(id))),
        asked.of('Temporal', () => readRun(deps.temporal, deps.names, id)),
      ]);
      const found = snapshot?.tenantId ?? run?.tenantId;
      const tenantId = check(
        await deps.tenantOf(
          isNamed || found === undefined
            ? input
            : { caller: input.caller, query: { tenantId: found } },
        ),
      );
      return { status: 200, body: await explain(deps, { id, tenantId, snapshot, run, asked }) };
    },
  });
}

interface Known {
  readonly id: string;
  readonly tenantId: string;
  readonly snapshot: Snapshot | undefined;
  readonly run: Awaited<ReturnType<typeof readRun>>;
  readonly asked: ReturnType<typeof createAsking>;
}

async function explain<Caller>(deps: ExplainDeps<Caller>, known: Known): Promise<Explanation> {
  const { id, tenantId, snapshot, run, asked } = known;
  const { index, temporal, namespace, names, store } = deps;
  const accountId = run?.send?.accountId ?? snapshot?.accountId ?? run?.accountId;
  const priority: Priority = snapshot?.priority ?? run?.priority ?? 'normal';
  const orderingKey = snapshot?.orderingKey;
  const [attempts, live, account, circuits, stops, backlog, isStopped] = await Promise.all([
    snapshot && asked.of('Elasticsearch', () => index.attempts(id, snapshot.acceptedAt)),
    asked.of('Temporal', () => runStatus(temporal, id)),
    accountId === undefined
      ? undefined
      : asked.of('MySQL', () => store.channelAccounts.get(accountId)),
    asked.of('MySQL', () => store.circuits.listOpen()),
    asked.of('MySQL', () => store.stops.list({ tenantId, limit: mostStops })),
    accountId === undefined
      ? undefined
      : asked.of('Temporal', () =>
          countAhead(temporal, { namespace, name: names.sendQueue(accountId) }, priority),
        ),
    orderingKey === undefined
      ? undefined
      : asked.of('Temporal', () => isKeyStopped(temporal, names, { tenantId, orderingKey })),
  ]);
  const request = snapshot && (await readRequest(deps, snapshot, asked.of));
  const missing = asked.missing();
  const status: Status | undefined =
    (run?.isRunning === true ? live?.status : undefined) ??
    snapshot?.status ??
    live?.status ??
    // An id with our MAC was given by us; only what was accepted just now is in neither.
    (missing.some((server) => server !== 'MySQL') ? undefined : 'accepted');
  const circuit = circuits?.find((one) => one.accountId === accountId);
  // One that waits in the queue is part of the queue.
  const isInQueue = run?.send?.state === 'scheduled' && !isLater(run.send.nextAttemptAt);
  const ahead = backlog === undefined ? undefined : Math.max(0, backlog - (isInQueue ? 1 : 0));
  const { nextTryAt, ...waitsFor } = explainWait({
    run: missing.includes('Temporal') && run === undefined ? 'away' : run,
    paceSeconds: deps.paceSeconds,
    nowMs: Date.now(),
    ...(status !== undefined && { status }),
    ...(snapshot !== undefined && { snapshot }),
    ...(account !== undefined && { account }),
    ...(circuit !== undefined && { circuit }),
    ...(stops !== undefined && snapshot !== undefined && { stop: verdictOf(stops, snapshot) }),
    ...(ahead !== undefined && { ahead }),
    ...(isStopped !== undefined && { isKeyStopped: isStopped }),
  });
  const reason =
    (run?.isRunning === true ? live?.reason : undefined) ?? snapshot?.reason ?? live?.reason;
  const isWaiting = waitsFor.code === 'broker' || isInQueue;
  const limit = account?.limitInForce ?? account?.ratePerSecond;
  return {
    id,
    tenantId,
    ...(status !== undefined && { status }),
    ...(reason !== undefined && { reason }),
    waitsFor,
    ...(nextTryAt !== undefined && { nextTryAt }),
    ...(ahead !== undefined &&
      isWaiting && {
        ahead: {
          about: ahead,
          ...(limit !== undefined && limit > 0 && { seconds: Math.ceil(ahead / limit) }),
        },
      }),
    ...(account !== undefined && {
      account: {
        id: account.id,
        name: account.name,
        ratePerSecond: account.ratePerSecond,
        limitInForce: account.limitInForce,
        isStopped: account.isStopped,
        ...(circuit !== undefined && {
          circuit: {
            reason: circuit.reason,
            openedAt: circuit.openedAt,
            nextTryAt: circuit.nextTryAt,
          },
        }),
      },
    }),
    ...(run?.send !== undefined && { send: withoutAccount(run.send) }),
    timeline: timelineOf(snapshot, attempts ?? []),
    ...(request !== undefined && { request }),
    ...(deps.temporalUiUrl !== undefined && { run: linkTo(deps, id, run?.runId) }),
    missing,
  };
}

const isLater = (at: string | undefined) => at !== undefined && Date.parse(at) > Date.now();

function withoutAccount({
  accountId: _accountId,
  ...send
}: NonNullable<NonNullable<Known['run']>['send']>) {
  return send;
}

function timelineOf(
  snapshot: Snapshot | undefined,
  attempts: readonly IndexedAttempt[],
): Explanation['timeline'] {
  if (snapshot === undefined) return [];
  const { acceptedAt, updatedAt, status, reason } = snapshot;
  return [
    { at: acceptedAt, event: 'accepted' },
    ...attempts.map(({ redrive: _redrive, ...attempt }) => ({
      at: attempt.startedAt,
      event: 'attempt',
      attempt,
    })),
    ...(status === 'accepted'
      ? []
      : [{ at: updatedAt, event: status, ...(reason !== undefined && { reason }) }]),
  ];
}

/** The page of the run; of a run that nobody could name, the list that would show it. */
function linkTo<Caller>(
  { temporalUiUrl = '', namespace }: ExplainDeps<Caller>,
  id: string,
  runId: string | undefined,
) {
  const workflows = `${temporalUiUrl.replace(/\/$/, '')}/namespaces/${namespace}/workflows`;
  return runId === undefined
    ? { url: `${workflows}?query=${encodeURIComponent(`WorkflowId="${id}"`)}` }
    : { id: runId, url: `${workflows}/${id}/${runId}` };
}

/** Asks servers, and notes which of them did not answer in time. */
function createAsking<Caller>({ logger, temporal }: ExplainDeps<Caller>, messageId: string) {
  const away = new Set<Server>();
  return {
    of: async <T>(server: Server, ask: () => Promise<T>): Promise<T | undefined> => {
      // One wait for each server is enough.
      if (away.has(server)) return undefined;
      try {
        const asked =
          server === 'Temporal' ? temporal.withDeadline(Date.now() + deadlineMs, ask) : ask();
        return await withDeadline(asked, deadlineMs, `asking ${server}`);
      } catch (error) {
        if (!away.has(server)) logger.warn({ server, error, messageId }, 'explain.partial');
        away.add(server);
        return undefined;
      }
    },
    missing: () => servers.filter((server) => away.has(server)),
  };
}
