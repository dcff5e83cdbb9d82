/** Makes chunks of accepted messages and publishes them: the one place where chunks come from. */
import { createHash } from 'node:crypto';
import type { Connector } from '../contracts/channel.ts';
import {
  chunkVersion,
  mostChunkMembers,
  type ChunkMember,
  type ChunkMessage,
} from '../contracts/chunk.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import type { Template } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import { encodeBase32 } from './message-id.ts';
import type { Publisher, PublishOptions } from './queue.ts';

/** Whether bulk messages of such a template may go by batch calls of this connector, each with its own content. */
export function mayBatch(
  { kind }: Pick<Template, 'kind'>,
  { capabilities }: Pick<Connector, 'capabilities'>,
): boolean {
  return kind !== 'otp' && capabilities.batch?.content === 'any';
}

/** Id of the chunk that begins at `first` of what `source` names (an idempotency key, an upload): the same for every repeat. */
export function chunkId(tenantId: string, source: string, first: number): string {
  const text = JSON.stringify(['chunk', tenantId, source, first]);
  return `chk_${encodeBase32(createHash('sha256').update(text).digest().subarray(0, 16))}`;
}

/**
 * One chunk of messages that share tenant, template, batch, life and way (those of the first count). Errors: none, or too many,
 * or one that no chunk can carry, which is a defect of the caller.
 */
export function toChunk(id: string, messages: readonly AcceptedMessage[]): ChunkMessage {
  const [first] = messages;
  if (first === undefined || messages.length > mostChunkMembers)
    throw new Error(`a chunk of ${messages.length} messages`);
  const alien = messages.find((message) => !isAlike(message, first));
  if (alien !== undefined) throw new Error(`${alien.id} cannot be in a chunk with ${first.id}`);
  const { batch, routes, traceparent } = first;
  return {
    version: chunkVersion,
    kind: 'chunk',
    id,
    tenantId: first.tenantId,
    template: first.template,
    messageKind: first.kind,
    priority: 'bulk',
    acceptedAt: first.acceptedAt,
    expiresAt: first.expiresAt,
    connector: first.connector,
    channel: first.channel,
    accountId: first.accountId,
    ...(batch !== undefined && { batch }),
    ...(routes !== undefined && { routes }),
    ...(traceparent !== undefined && { traceparent }),
    members: messages.map(toMember),
  };
}

/** Publishes a chunk on the bulk lane of its account's slot. Errors: PublishError, after trying until the deadline. */
export async function publishChunk(
  {
    publisher,
    names,
  }: { readonly publisher: Pick<Publisher, 'publish'>; readonly names: Pick<Names, 'lane'> },
  { chunk, slot }: { readonly chunk: ChunkMessage; readonly slot: number },
  options: PublishOptions = {},
): Promise<void> {
  await publisher.publish(
    names.lane(slot, 'bulk'),
    { key: chunk.id, body: JSON.stringify(chunk) },
    options,
  );
}

function isAlike(message: AcceptedMessage, first: AcceptedMessage): boolean {
  const isPlain =
    message.priority === 'bulk' &&
    message.sendAt === undefined &&
    message.orderingKey === undefined &&
    message.fallbackAfter === undefined &&
    message.timeZone === undefined;
  const shared = ['tenantId', 'template', 'kind', 'batch', 'acceptedAt', 'expiresAt'] as const;
  return isPlain && shared.every((field) => message[field] === first[field]);
}

function toMember(message: AcceptedMessage): ChunkMember {
  const { id, requestHash, recipientHash, recipientMasked, metadata, locale, sealed } = message;
  return {
    id,
    requestHash,
    recipientHash,
    recipientMasked,
    sealed,
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(locale !== undefined && { locale }),
  };
}
