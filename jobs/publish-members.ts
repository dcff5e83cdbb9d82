/**
 * Hands members of a batch to the queue: as the messages that they would be if each had been posted alone, in chunks where
 * they can go by one call.
 */
import { batchKey, postOf } from '../contracts/batch.ts';
import { problem } from '../contracts/problems.ts';
import type { Account, Template } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import {
  checkRequest,
  composeMessage,
  type CheckDeps,
  type Composed,
} from '../platform/compose-message.ts';
import type { MessageIds } from '../platform/message-id.ts';
import { publishChunk, toChunk } from '../platform/publish-chunk.ts';
import type { Publisher } from '../platform/queue.ts';
import type { Sealer } from '../platform/seal.ts';
import type { DayKey } from '../platform/day-key.ts';
import type { Batches, Block, DayKeyRing, RunningBatch } from '../store/index.ts';
import { chunksOf, idOfChunk } from './block-chunks.ts';

export interface PublishMembersDeps extends CheckDeps {
  readonly batches: Pick<Batches, 'fixChunks'>;
  readonly ids: Pick<MessageIds, 'derive'>;
  readonly sealer: Pick<Sealer, 'hash'>;
  /** The day key that seals for a tenant now. Errors: the problem store-unavailable. */
  readonly sealing: DayKeyRing['sealing'];
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly names: Pick<Names, 'lane'>;
  /** Also of one that was deleted since: what was started is sent. */
  readonly template: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly accountsOf: (tenantId: string) => Promise<readonly Account[]>;
}

/** Some members of a block, in order. */
export interface Part {
  readonly batch: RunningBatch;
  readonly block: Block;
  /** Place of the first one in the block. */
  readonly offset: number;
  /** How many places may go now, within the block's portions. A block with chunks goes whole. */
  readonly most: number;
}

/**
 * Resolves with how many went, once the queue has all of them on disk. A repeat is the same messages in the same chunks,
 * whatever was edited in between. Their life counts from now. Errors: PublishError; a problem when template or accounts no
 * longer take one of them, and then none was published.
 */
export async function publishMembers(deps: PublishMembersDeps, part: Part): Promise<number> {
  const { batch, block } = part;
  const { tenantId, request } = batch;
  const template = await deps.template(tenantId, request.template);
  if (template === undefined)
    throw problem('template-not-found', {
      detail: `There is no template named "${request.template}".`,
    });
  const accounts = await deps.accountsOf(tenantId);
  const { connectors, batches } = deps;
  const places = block.members.map((_, place) => place);
  // What quotas let go in parts would be a burst in chunks.
  const chunked = () =>
    part.most < places.length ? [] : chunksOf({ connectors, batch, block, template, accounts });
  const ranges = block.chunks ?? (await batches.fixChunks(block, chunked()));
  const isInChunk = new Set(
    ranges.flatMap(({ first, members }) => places.slice(first, first + members)),
  );
  const due = ranges.length > 0 ? places : places.slice(part.offset, part.offset + part.most);

  const key = await deps.sealing(tenantId);
  const compose = createCompose(deps, { batch, block, template, accounts, key });
  const chunks = ranges.map(({ first, members }) => {
    const id = idOfChunk(batch, block, first);
    return { id, composed: places.slice(first, first + members).flatMap((at) => compose(at, id)) };
  });
  const singles = due.filter((place) => !isInChunk.has(place)).flatMap((place) => compose(place));
  await Promise.all([
    // One whose members were all erased is none.
    ...chunks
      .filter(({ composed }) => composed.length > 0)
      .map((chunk) => publishAsChunk(deps, chunk)),
    ...singles.map((single) => publishAlone(deps, single)),
  ]);
  return due.length;
}

async function publishAsChunk(
  deps: PublishMembersDeps,
  { id, composed }: { readonly id: string; readonly composed: readonly Composed[] },
): Promise<void> {
  const messages = composed.map(({ message }) => message);
  // Its members go one way.
  await publishChunk(deps, { chunk: toChunk(id, messages), slot: composed[0]?.slot ?? 0 });
}

/** The publisher merges messages that are published together into few calls. */
async function publishAlone(
  { publisher, names }: PublishMembersDeps,
  { message, slot }: Composed,
): Promise<void> {
  await publisher.publish(names.lane(slot, message.priority), {
    key: message.id,
    body: JSON.stringify(message),
  });
}

/** Composes the member at a place of the block, if it is not erased; those of one chunk go one way. Errors: problems. */
function createCompose(
  deps: PublishMembersDeps,
  of: {
    readonly batch: RunningBatch;
    readonly block: Block;
    readonly template: Template;
    readonly accounts: readonly Account[];
    readonly key: DayKey;
  },
): (place: number, chunk?: string) => readonly Composed[] {
  const { batch, block, template, accounts, key } = of;
  const { tenantId } = batch;
  const lifeFromMs = Date.now();
  return (place, chunk) => {
    const member = block.members[place];
    if (member === undefined) throw new Error(`a block without a member ${place}`);
    if (member === null) return [];
    const id = deps.ids.derive(tenantId, batchKey(batch.id), block.firstIndex + place);
    const request = { id, tenantId, post: postOf(batch, member), template, accounts };
    const goesWith = chunk === undefined ? {} : { goesWith: chunk };
    const acceptedAt = new Date(acceptedAtOf(block, place));
    const checked = checkRequest(deps, { ...request, ...goesWith });
    return [composeMessage(deps.sealer, checked, { acceptedAt, key, lifeFromMs })];
  };
}

/** When the member at this place counts as accepted: the same whenever it is handed over. */
function acceptedAtOf({ portions }: Pick<Block, 'portions'>, place: number): string {
  const portion = portions.find(({ until }) => place < until);
  if (portion === undefined) throw new Error(`place ${place} of a block was not let go yet`);
  return portion.acceptedAt;
}
