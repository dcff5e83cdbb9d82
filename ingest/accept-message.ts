/** Stage 1: turns a request into an accepted message. Resolves only after the broker has stored it. */
import type { AcceptedMessage, PostMessage } from '../contracts/message.ts';
import { problem, type Problem } from '../contracts/problems.ts';
import type { Account, Template } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import {
  checkOptions,
  checkRequest,
  composeMessage,
  type CheckDeps,
  type Composed,
} from '../platform/compose-message.ts';
import type { Logger } from '../platform/logger.ts';
import type { MessageIds } from '../platform/message-id.ts';
import { orderingGroup } from '../platform/ordering-group.ts';
import { PublishError, type Publisher } from '../platform/queue.ts';
import type { Sealer } from '../platform/seal.ts';
import type { DayKeyRing } from '../store/index.ts';
import type { Quotas } from './quotas.ts';

export interface AcceptDeps extends CheckDeps {
  readonly ids: MessageIds;
  readonly sealer: Pick<Sealer, 'hash'>;
  /** The day key that seals for a tenant now. Errors: the problem store-unavailable. */
  readonly sealing: DayKeyRing['sealing'];
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  readonly template: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly accountsOf: (tenantId: string) => Promise<readonly Account[]>;
  /** Errors: the problem too-many-scheduled. */
  readonly admitScheduled: (tenantId: string) => Promise<void>;
  /** Counts a message against its tenant's quotas; gives how to take that back. Errors: the problem quota-exceeded. */
  readonly admit: Quotas['admit'];
}

export interface AcceptRequest {
  readonly tenantId: string;
  readonly post: PostMessage;
  readonly idempotencyKey?: string;
  /** Place in a batch. */
  readonly index?: number;
  /** It is to be a member of this chunk, whose members are accepted at one time. */
  readonly chunk?: { readonly id: string; readonly now: Date };
  readonly traceparent?: string;
}

/** How long a caller waits for the broker before it is told 503. */
export const publishDeadlineMs = 5000;

/** Accepts one message. Errors: problems that name the field; broker-unavailable when it is surely not or perhaps not stored. */
export async function acceptMessage(
  deps: AcceptDeps,
  request: AcceptRequest,
): Promise<AcceptedMessage> {
  const { message, slot } = await prepareMessage(deps, request);
  const uncount = await admitMessage(deps, request, message);
  await storing(uncount, () =>
    deps.publisher.publish(
      message.orderingKey === undefined
        ? deps.names.lane(slot, message.priority)
        : deps.names.order,
      { key: message.id, body: JSON.stringify(message) },
      {
        deadlineMs: publishDeadlineMs,
        ...(message.orderingKey !== undefined && {
          orderingGroup: orderingGroup(message.tenantId, message.orderingKey),
        }),
      },
    ),
  );
  logAccepted(deps, message);
  return message;
}

/**
 * Runs a publish. `uncount` takes back what was counted for what is surely not stored. Errors: broker-unavailable when it is
 * surely not or perhaps not stored.
 */
export async function storing(uncount: () => void, publish: () => Promise<void>): Promise<void> {
  try {
    await publish();
  } catch (error) {
    if (!(error instanceof PublishError)) throw error;
    if (error.stored === 'no') uncount();
    throw problem('broker-unavailable', {
      detail:
        error.stored === 'no'
          ? 'The message was not stored. Send it again.'
          : 'Whether the message was stored is unknown. Send it again with the same Idempotency-Key.',
      retryAfterSeconds: 2,
      stored: error.stored,
      cause: error,
    });
  }
}

/** Counts a message against its tenant's quotas; gives how to take that back. Errors: quota-exceeded. */
export function admitMessage(
  { admit }: Pick<AcceptDeps, 'admit'>,
  { idempotencyKey }: Pick<AcceptRequest, 'idempotencyKey'>,
  { id, tenantId, priority }: AcceptedMessage,
): Promise<() => void> {
  return admit({
    tenantId,
    priority,
    messageId: id,
    isRepeatable: idempotencyKey !== undefined,
  });
}

/** One line for each message that was accepted. */
export function logAccepted(
  { logger }: Pick<AcceptDeps, 'logger'>,
  message: AcceptedMessage,
): void {
  const { id, tenantId, channel, accountId, priority, template } = message;
  logger.info(
    { messageId: id, tenantId, channel, accountId, priority, template },
    'message.accepted',
  );
}

/** Checks one message and chooses its way; nothing is stored yet. Errors: problems that name the field. */
export async function prepareMessage(deps: AcceptDeps, request: AcceptRequest): Promise<Composed> {
  const { tenantId, post, idempotencyKey, index, traceparent, chunk } = request;
  const acceptedAt = chunk?.now ?? new Date();
  checkOptions(post, acceptedAt.getTime());
  const template = await deps.template(tenantId, post.template);
  if (template === undefined) throw templateNotFound(post.template);
  const id =
    idempotencyKey === undefined
      ? deps.ids.create(tenantId, acceptedAt.getTime())
      : deps.ids.derive(tenantId, idempotencyKey, index);
  const accounts = await deps.accountsOf(tenantId);
  const checked = checkRequest(deps, {
    id,
    tenantId,
    post,
    template,
    accounts,
    // Members of a chunk go one way.
    ...(chunk !== undefined && { goesWith: chunk.id }),
  });
  const key = await deps.sealing(tenantId);
  const composed = composeMessage(deps.sealer, checked, {
    acceptedAt,
    key,
    ...(traceparent !== undefined && { traceparent }),
  });
  checkReadable(composed.message, key.destroyAfterMs);
  if (post.sendAt !== undefined) await deps.admitScheduled(tenantId);
  return composed;
}

/** Errors: validation-failed, for what could not be opened any more once its time has come. */
function checkReadable({ sendAt, expiresAt }: AcceptedMessage, destroyAfterMs: number): void {
  if (sendAt === undefined || Date.parse(expiresAt) <= destroyAfterMs) return;
  const detail = `is too far ahead: what is accepted now can be read until ${new Date(destroyAfterMs).toISOString()}`;
  throw problem('validation-failed', {
    detail: `/sendAt ${detail}`,
    errors: [{ pointer: '/sendAt', detail }],
  });
}

export function templateNotFound(name: string): Problem {
  return problem('template-not-found', {
    detail: `There is no template named "${name}".`,
    errors: [{ pointer: '/template', detail: 'names no template of this tenant' }],
  });
}
