/**
 * Bulk chunks: up to 100 messages of one tenant, template and way that travel as one broker message, one run and one batch
 * call of the provider. Carried by: ingest, jobs → the account's bulk lane → bridge, indexer; bridge → worker.
 */
import { Type, type Static } from 'typebox';
import { acceptedMessageVersion, kinds, mostRoutes, RouteSchema } from './message.ts';
import type { AcceptedMessage } from './message.ts';

export const chunkVersion = 1;
export const mostChunkMembers = 100;
/** Bound on the bytes of a chunk's requests as they were posted: sealed, a chunk stays well under the bridge's 512 KiB. */
export const mostChunkBytes = 128 * 1024;
/** Accounts below this many calls a second send one by one. */
export const leastChunkRate = 200;

/** What tells one message of a chunk from the others. */
export const ChunkMemberSchema = Type.Object({
  id: Type.String(),
  requestHash: Type.String(),
  recipientHash: Type.String(),
  recipientMasked: Type.String(),
  metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
  locale: Type.Optional(Type.String()),
  /** Sealed JSON of SealedRequest, for this member's id. */
  sealed: Type.String(),
});
export type ChunkMember = Static<typeof ChunkMemberSchema>;

export const ChunkMessageSchema = Type.Object({
  version: Type.Literal(chunkVersion),
  /** Tells it from a single message on the same lane. */
  kind: Type.Literal('chunk'),
  id: Type.String({ pattern: '^chk_[0-9a-hjkmnp-tv-z]{26}$' }),
  tenantId: Type.String(),
  batch: Type.Optional(Type.String()),
  template: Type.String(),
  messageKind: Type.Enum([...kinds]),
  priority: Type.Literal('bulk'),
  acceptedAt: Type.String(),
  expiresAt: Type.String(),
  connector: Type.String(),
  channel: Type.String(),
  accountId: Type.String(),
  routes: Type.Optional(Type.Array(RouteSchema, { minItems: 1, maxItems: mostRoutes })),
  members: Type.Array(ChunkMemberSchema, { minItems: 1, maxItems: mostChunkMembers }),
  traceparent: Type.Optional(Type.String()),
});
export type ChunkMessage = Static<typeof ChunkMessageSchema>;

/** Whether a lane's payload says that it is a chunk, whatever else is wrong with it. */
export function isChunk(value: unknown): boolean {
  return (value as { kind?: unknown } | null)?.kind === 'chunk';
}

type SharedPart = Omit<AcceptedMessage, keyof ChunkMember>;
/** What all members have in common, made once: leaving fields out is what costs, a hundred times a chunk and stage. */
const sharedParts = new WeakMap<ChunkMessage, SharedPart>();

function sharedPartOf(chunk: ChunkMessage): SharedPart {
  const known = sharedParts.get(chunk);
  if (known !== undefined) return known;
  const { members: _members, version: _version, kind: _kind, messageKind, id, ...rest } = chunk;
  const own = { version: acceptedMessageVersion, kind: messageKind, chunk: id } as const;
  const made: SharedPart = { ...rest, ...own };
  sharedParts.set(chunk, made);
  return made;
}

/** One member as a message of its own. Pure; of a chunk that nobody changes. */
export function memberMessage(chunk: ChunkMessage, member: ChunkMember): AcceptedMessage {
  // Spread last: V8 copies an object into a literal quickly, and adds fields to a copy ten times as slowly.
  return { metadata: {}, ...member, ...sharedPartOf(chunk) };
}
