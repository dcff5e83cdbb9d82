/**
 * `POST /v1/messages/{id}/recall`: takes a message back wherever it is. One that waits in RocketMQ gets a run that ends as
 * recalled, so that the bridge finds it done; a running one is cancelled; a sent one is taken back by the provider, where
 * the channel can.
 */
import { Type } from 'typebox';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  type Client,
} from '@temporalio/client';
import type { AccountAccess, Connector, ConnectorClient } from '../contracts/channel.ts';
import {
  addressAs,
  acceptedMessageVersion,
  type SealedRequest,
  type To,
} from '../contracts/message.ts';
import { isByBook, reachedAt, type Person } from '../contracts/people.ts';
import { problem } from '../contracts/problems.ts';
import { toEvent, type Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { isEnd, mayMove } from '../contracts/status.ts';
import type { Names } from '../contracts/topics.ts';
import { deliverWorkflow, type DeliverInput, type DeliverResult } from '../contracts/workflows.ts';
import { DataExpired } from '../platform/day-key.ts';
import { deliveryKey } from '../platform/delivery-key.ts';
import { route, type Route } from '../platform/http.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { messageIdTimeMs, type MessageIds } from '../platform/message-id.ts';
import type { Publisher } from '../platform/queue.ts';
import { deliverRoutes, messageAttributes } from '../platform/temporal-client.ts';

export interface RecallDeps {
  readonly ids: Pick<MessageIds, 'isGenuine'>;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly client: Client;
  readonly names: Names;
  readonly publisher: Publisher;
  readonly logger: Logger;
  /** The newest snapshot that the index holds. Errors: the index does not answer. */
  readonly snapshotOf: (
    messageId: string,
    createdMs: number | undefined,
  ) => Promise<Snapshot | undefined>;
  readonly sealedRequestOf: (snapshot: Snapshot) => Promise<string | undefined>;
  /** Errors: DataExpired, where nobody can any more. */
  readonly open: (sealed: string, messageId: string) => Promise<SealedRequest>;
  readonly access: (accountId: string) => Promise<AccountAccess | undefined>;
  readonly devicesOf: (owner: {
    tenantId: string;
    userId: string;
    accountId: string;
  }) => Promise<readonly string[]>;
  readonly personOf: (key: { tenantId: string; userId: string }) => Promise<Person | undefined>;
  /** Recalls a member of a chunk; `under-way`: its batch call has begun. Errors: the store does not answer. */
  readonly recallMember: (of: {
    readonly chunkId: string;
    readonly messageId: string;
  }) => Promise<'recalled' | 'under-way'>;
}

const RecallSchema = Type.Object({
  id: Type.String(),
  status: Type.String({ description: 'recalled, or where it stands while a call is under way.' }),
  detail: Type.String(),
});

/** How long the caller waits for a cancelled run to end; a provider's call may be under way. */
const endWithinMs = 4000;
/** The index follows the acceptance by about a second. */
const indexWithinMs = 3000;
const temporalDeadlineMs = 5000;

/** The route. */
export function recallRoute<Caller extends { readonly tenantId: string }>(
  deps: RecallDeps,
): Route<Caller> {
  return route<Caller>({
    method: 'post',
    path: '/v1/messages/:id/recall',
    operationId: 'recallMessage',
    summary: 'Take a message back',
    description:
      'Before it was sent it is not sent any more. After that it is taken back where the channel can (docs: channels), within its time. A repeat changes nothing. 202: a call to the provider is under way; ask for the status.',
    tag: 'messages',
    params: { id: 'The message id' },
    responses: {
      200: { description: 'Recalled.', schema: RecallSchema },
      202: { description: 'Asked for; a call is under way.', schema: RecallSchema },
    },
    problems: ['message-not-found', 'recall-too-late', 'search-unavailable', 'store-unavailable'],
    handle: async ({ params, caller }) => {
      const id = params['id'] ?? '';
      if (!deps.ids.isGenuine(id, caller.tenantId))
        throw problem('message-not-found', {
          detail: `${id} is not the id of a message of this tenant.`,
        });
      const { status, detail } = await recall(deps, id);
      const { tenantId } = caller;
      deps.logger.info({ messageId: id, tenantId, status, detail }, 'message.recall');
      return { status: status === 'recalled' ? 200 : 202, body: { id, status, detail } };
    },
  });
}

interface Recalled {
  readonly status: string;
  readonly detail: string;
}

async function recall(deps: RecallDeps, messageId: string): Promise<Recalled> {
  const { snapshotOf } = deps;
  const snapshot = await snapshotOf(messageId, messageIdTimeMs(messageId));
  if (snapshot !== undefined && isEnd(snapshot.status)) return recallEnded(deps, snapshot);
  const cancelled = await cancelRun(deps, messageId);
  if (cancelled !== undefined) return cancelled;

  // No run yet: it waits in RocketMQ, or has only just been accepted.
  const deadlineMs = Date.now() + indexWithinMs;
  for (;;) {
    const accepted = await snapshotOf(messageId, messageIdTimeMs(messageId));
    if (accepted !== undefined && isEnd(accepted.status)) return recallEnded(deps, accepted);
    const isCalled = accepted !== undefined && (await isInCall(deps, accepted));
    if (accepted !== undefined && !isCalled && (await startRecalled(deps, accepted)))
      return { status: 'recalled', detail: 'It had not been handed to a channel yet.' };
    const running = await cancelRun(deps, messageId);
    if (running !== undefined) return running;
    if (isCalled && Date.now() > deadlineMs) return callUnderWay;
    if (Date.now() > deadlineMs)
      throw problem('search-unavailable', {
        detail:
          'The message has been accepted and is not known to the index yet; repeat the recall.',
        retryAfterSeconds: 2,
      });
    await pause(200);
  }
}

const callUnderWay: Recalled = {
  status: 'sending',
  detail: 'A call to the provider is under way; ask for the status.',
};

/** Whether the batch call of its chunk has begun; if not, the chunk leaves it out from now on. */
async function isInCall(deps: RecallDeps, { messageId, chunk }: Snapshot): Promise<boolean> {
  if (chunk === undefined) return false;
  return (await deps.recallMember({ chunkId: chunk, messageId })) === 'under-way';
}

/** Cancels the run; undefined: there is none. */
async function cancelRun(deps: RecallDeps, messageId: string): Promise<Recalled | undefined> {
  const { client } = deps;
  const handle = client.workflow.getHandle(messageId);
  try {
    const { status } = await client.withDeadline(Date.now() + temporalDeadlineMs, () =>
      handle.describe(),
    );
    if (status.name === 'RUNNING')
      await client.withDeadline(Date.now() + temporalDeadlineMs, () => handle.cancel());
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
  const ended = handle.result().then(
    (result) => (result as DeliverResult).status,
    (error: unknown) => {
      if (error instanceof WorkflowFailedError) return 'failed' as const;
      throw error;
    },
  );
  const end = await Promise.race([ended, pause(endWithinMs).then(() => undefined)]);
  if (end === 'recalled')
    return { status: 'recalled', detail: 'It was taken back before the provider had it.' };
  if (end === undefined) return callUnderWay;
  if (end === 'failed') throw tooLate('it has ended as not delivered');
  // It was sent meanwhile; the index follows.
  const deadlineMs = Date.now() + indexWithinMs;
  for (;;) {
    const snapshot = await deps.snapshotOf(messageId, messageIdTimeMs(messageId));
    if (snapshot !== undefined && isEnd(snapshot.status)) return recallEnded(deps, snapshot);
    if (Date.now() > deadlineMs) return { status: end, detail: 'It was sent; repeat the recall.' };
    await pause(200);
  }
}

/** A run under the message's id that ends as recalled at once. False: a run was started meanwhile. */
async function startRecalled(deps: RecallDeps, snapshot: Snapshot): Promise<boolean> {
  const { client, names } = deps;
  const {
    messageId,
    status: _status,
    sequence: _sequence,
    updatedAt: _updated,
    ...fixed
  } = snapshot;
  const input: DeliverInput = {
    version: 1,
    message: {
      ...fixed,
      version: acceptedMessageVersion,
      id: messageId,
      requestHash: '',
      sealed: '',
    },
    redrive: 0,
    routes: deliverRoutes(names, snapshot),
    isRecalled: true,
  };
  try {
    const handle = await client.withDeadline(Date.now() + temporalDeadlineMs, () =>
      client.workflow.start(deliverWorkflow, {
        workflowId: messageId,
        taskQueue: names.deliverQueue,
        args: [input],
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        memo: { acceptedAt: snapshot.acceptedAt },
        typedSearchAttributes: messageAttributes(snapshot),
      }),
    );
    await Promise.race([handle.result(), pause(endWithinMs)]);
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

const tooLate = (why: string) =>
  problem('recall-too-late', { detail: `The message cannot be taken back: ${why}.` });

/** After its run: only the provider can take it back. */
async function recallEnded(deps: RecallDeps, snapshot: Snapshot): Promise<Recalled> {
  const { status, messageId, accountId } = snapshot;
  if (status === 'recalled') return { status: 'recalled', detail: 'It was taken back before.' };
  if (!mayMove(status, 'recalled')) throw tooLate(`it has ended as ${status}`);
  const connector = deps.connectors.get(snapshot.connector);
  const withinMs = connector?.capabilities.recallWithinMs ?? 0;
  if (connector === undefined || withinMs === 0)
    throw tooLate(`it was sent, and ${snapshot.connector} takes nothing back`);
  if (Date.now() - Date.parse(snapshot.updatedAt) > withinMs)
    throw tooLate(`${snapshot.connector} takes back only what was sent lately`);
  const access = await deps.access(accountId);
  const sealed = await deps.sealedRequestOf(snapshot);
  if (access === undefined || sealed === undefined)
    throw tooLate('its channel account or its recipient is no longer known');
  const { to } = await deps.open(sealed, messageId).catch((error: unknown) => {
    if (error instanceof DataExpired) throw tooLate('nobody can open its recipient any more');
    throw error;
  });
  const targets = await findCalled(deps, snapshot, { connector, to });
  const client = connector.createClient(access);
  try {
    await recallAtProvider(client, snapshot, targets);
  } finally {
    await client.close();
  }
  const { attempt: _told, reason: _reason, ...base } = snapshot;
  const recalled: Snapshot = {
    ...base,
    status: 'recalled',
    sequence: sequences.receipt.recalled,
    updatedAt: new Date().toISOString(),
  };
  await deps.publisher.publish(
    deps.names.results,
    { key: messageId, body: JSON.stringify(toEvent(recalled)) },
    { deadlineMs: temporalDeadlineMs },
  );
  return { status: 'recalled', detail: 'The provider took it back.' };
}

/** An address that was called, and the recipient that its delivery key names. */
interface Called {
  readonly to: To;
  readonly named: To;
}

/** Every address of the recipient through this connector, as `send` finds them. */
async function findCalled(
  deps: RecallDeps,
  { tenantId, accountId }: Snapshot,
  { connector, to }: { readonly connector: Connector; readonly to: To },
): Promise<readonly Called[]> {
  const userId = addressAs('userId', to);
  if (userId !== undefined && connector.hasDevices === true) {
    const tokens = await deps.devicesOf({ tenantId, userId, accountId });
    return tokens.map((deviceToken) => ({ to: { deviceToken }, named: { deviceToken } }));
  }
  if (userId === undefined || !isByBook(connector.addressKinds, to)) return [{ to, named: to }];
  const address = reachedAt(connector, to, await deps.personOf({ tenantId, userId }));
  return address === undefined ? [] : [{ to: address, named: to }];
}

/** Errors: the problem recall-too-late when no address was taken back. */
async function recallAtProvider(
  client: ConnectorClient,
  snapshot: Snapshot,
  targets: readonly Called[],
): Promise<void> {
  const { messageId, redrive, connector, providerId, updatedAt } = snapshot;
  const outcomes = await Promise.all(
    targets.map(async ({ to, named }) =>
      client.recall?.({
        to,
        deliveryKey: deliveryKey({ messageId, redrive, connector, to: named }),
        providerId,
        sentAt: updatedAt,
        signal: AbortSignal.timeout(20_000),
      }),
    ),
  );
  if (outcomes.some((outcome) => outcome?.class === 'accepted' || outcome?.class === 'duplicate'))
    return;
  const [first] = outcomes;
  const said = [first?.class, first?.providerCode, first?.providerMessage].filter(Boolean);
  throw tooLate(`the provider did not take it back (${said.join(': ') || 'no address is known'})`);
}
