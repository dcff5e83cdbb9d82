/** Stage 1: turns a request into an accepted message. Resolves only after the broker has stored it. */
import type { Connector } from '../contracts/channel.ts';
import {
  acceptedMessageVersion,
  addressOf,
  kindDefaults,
  type AcceptedMessage,
  type PostMessage,
  type SealedRequest,
  type To,
} from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import type { Account, Template } from '../contracts/template.ts';
import type { FieldFault } from '../contracts/problems.ts';
import type { Names } from '../contracts/topics.ts';
import type { Variables } from '../contracts/message.ts';
import type { Logger } from '../platform/logger.ts';
import type { MessageIds } from '../platform/message-id.ts';
import { PublishError, type Publisher } from '../platform/queue.ts';
import type { Sealer } from '../platform/seal.ts';
import { hashRecipient, maskRecipient } from './recipient.ts';

export interface AcceptDeps {
  readonly ids: MessageIds;
  readonly sealer: Sealer;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly template: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly accountsOf: (tenantId: string) => Promise<readonly Account[]>;
  readonly checkVariables: (template: Template, variables: Variables) => readonly FieldFault[];
}

export interface AcceptRequest {
  readonly tenantId: string;
  readonly post: PostMessage;
  readonly idempotencyKey?: string;
  /** Place in a batch. */
  readonly index?: number;
  readonly traceparent?: string;
}

/** How long a caller waits for the broker before it is told 503. */
const publishDeadlineMs = 5000;

/** Accepts one message. Errors: problems that name the field; broker-unavailable when it is surely not or perhaps not stored. */
export async function acceptMessage(
  deps: AcceptDeps,
  request: AcceptRequest,
): Promise<AcceptedMessage> {
  const { message, slot } = await prepare(deps, request);
  try {
    await deps.publisher.publish(
      deps.names.lane(slot, message.priority),
      { key: message.id, body: JSON.stringify(message) },
      { deadlineMs: publishDeadlineMs },
    );
  } catch (error) {
    if (!(error instanceof PublishError)) throw error;
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
  const { id, tenantId, channel, accountId, priority, template } = message;
  deps.logger.info(
    { messageId: id, tenantId, channel, accountId, priority, template },
    'message.accepted',
  );
  return message;
}

async function prepare(
  deps: AcceptDeps,
  request: AcceptRequest,
): Promise<{ message: AcceptedMessage; slot: number }> {
  const { tenantId, post } = request;
  const template = await deps.template(tenantId, post.template);
  if (template === undefined)
    throw problem('template-not-found', {
      detail: `There is no template named "${post.template}".`,
      errors: [{ pointer: '/template', detail: 'names no template of this tenant' }],
    });
  const variables = post.variables ?? {};
  const faults = deps.checkVariables(template, variables);
  if (faults.length > 0)
    throw problem('variables-invalid', {
      detail: `${faults[0]?.pointer} ${faults[0]?.detail}`,
      errors: faults,
    });

  const { connector, account } = chooseAccount(deps.connectors, await deps.accountsOf(tenantId), {
    template,
    channel: post.channel,
    to: post.to,
  });
  const addressFault = connector.addressFault(post.to, account.settings);
  if (addressFault !== undefined)
    throw problem('recipient-unsuitable', {
      detail: addressFault,
      errors: [{ pointer: '/to', detail: addressFault }],
    });

  const now = new Date();
  const defaults = kindDefaults[template.kind];
  const id =
    request.idempotencyKey === undefined
      ? deps.ids.create(tenantId, now.getTime())
      : deps.ids.derive(tenantId, request.idempotencyKey, request.index);
  const sealed: SealedRequest = { to: post.to, variables };
  return {
    slot: account.slot,
    message: {
      version: acceptedMessageVersion,
      id,
      tenantId,
      acceptedAt: now.toISOString(),
      expiresAt: new Date(
        now.getTime() + (post.expiresIn ?? defaults.lifeSeconds) * 1000,
      ).toISOString(),
      requestHash: deps.sealer.hash(canonical(post), `request:${tenantId}`),
      template: template.name,
      kind: template.kind,
      connector: connector.name,
      channel: connector.channel,
      accountId: account.id,
      priority: post.priority ?? defaults.priority,
      recipientHash: hashRecipient(deps.sealer, tenantId, post.to),
      recipientMasked: maskRecipient(post.to),
      metadata: post.metadata ?? {},
      sealed: deps.sealer.seal(JSON.stringify(sealed), id),
      ...(request.traceparent !== undefined && { traceparent: request.traceparent }),
    },
  };
}

/**
 * The first of the template's connectors that takes such an address and that the tenant has an account for; one that is
 * not stopped goes first.
 */
function chooseAccount(
  connectors: AcceptDeps['connectors'],
  accounts: readonly Account[],
  { template, channel, to }: { template: Template; channel: string | undefined; to: To },
): { connector: Connector; account: Account } {
  const offered = Object.keys(template.contents)
    .map((name) => connectors.get(name))
    .filter((connector) => connector !== undefined);
  const wanted = offered.filter(
    ({ name, channel: its }) => channel === undefined || its === channel || name === channel,
  );
  if (wanted.length === 0) {
    const channels = [...new Set(offered.map((connector) => connector.channel))].join(', ');
    const detail = `template "${template.name}" has content for ${channels}`;
    throw problem('channel-unavailable', { detail, errors: [{ pointer: '/channel', detail }] });
  }
  const { kind } = addressOf(to);
  const reaching = wanted.filter(({ addressKinds }) => addressKinds.includes(kind));
  if (reaching.length === 0) {
    const kinds = [...new Set(wanted.flatMap(({ addressKinds }) => addressKinds))].join(' or ');
    const detail = `an address of kind ${kind} does not fit; template "${template.name}" reaches people by ${kinds}`;
    throw problem('recipient-unsuitable', { detail, errors: [{ pointer: '/to', detail }] });
  }
  const candidates = reaching.flatMap((connector) =>
    accounts
      .filter((account) => account.connector === connector.name)
      .map((account) => ({ connector, account })),
  );
  const chosen = candidates.find(({ account }) => !account.isStopped) ?? candidates[0];
  if (chosen === undefined) {
    const detail = `no channel account for ${reaching.map((connector) => connector.name).join(' or ')} exists; an administrator adds one`;
    throw problem('channel-unavailable', { detail, errors: [{ pointer: '/channel', detail }] });
  }
  return chosen;
}

/** JSON with sorted keys: the same request always gives the same text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
