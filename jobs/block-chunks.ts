/** Which members of a block go as chunks. Asked once a block: what was decided is kept on its row. */
import { batchKey, blockMembers, postOf, type ChunkRange } from '../contracts/batch.ts';
import { leastChunkRate, mostChunkBytes, mostChunkMembers } from '../contracts/chunk.ts';
import { addressOf } from '../contracts/message.ts';
import type { Account, Template } from '../contracts/template.ts';
import { chooseRoutes, takes } from '../platform/choose-routes.ts';
import type { CheckDeps } from '../platform/compose-message.ts';
import { chunkId, mayBatch } from '../platform/publish-chunk.ts';
import type { Block, RunningBatch } from '../store/index.ts';

/** What decides it. */
export interface ChunksOf extends Pick<CheckDeps, 'connectors'> {
  readonly batch: RunningBatch;
  readonly block: Pick<Block, 'firstIndex' | 'members'>;
  readonly template: Template;
  readonly accounts: readonly Account[];
}

/** The id of a chunk of a batch, by the place of its first member in the block. */
export function idOfChunk(
  { id, tenantId }: Pick<RunningBatch, 'id' | 'tenantId'>,
  { firstIndex }: Pick<Block, 'firstIndex'>,
  first: number,
): string {
  return chunkId(tenantId, batchKey(id), firstIndex + first);
}

/**
 * Members that can go by one call: neighbours with addresses of one kind, through an account that takes chunks, of a batch
 * that may hand over a block in a second. Pure. Errors: a problem when the tenant has no account for them.
 */
export function chunksOf(of: ChunksOf): readonly ChunkRange[] {
  const { batch, block } = of;
  const { priority = 'bulk', channels, ratePerSecond = Infinity } = batch.request;
  // A chunk has one way, and of a slower batch it would be a burst.
  const isPlain = priority === 'bulk' && channels === undefined && ratePerSecond >= blockMembers;
  return isPlain ? neighbours(batch, block.members).filter((range) => isChunk(of, range)) : [];
}

/** Ranges of members with addresses of one kind, as large as a chunk may be. */
function neighbours(batch: RunningBatch, members: Block['members']): readonly ChunkRange[] {
  const ranges: { first: number; members: number; kind: string; bytes: number }[] = [];
  for (const [place, member] of members.entries()) {
    if (member === null) {
      // The place of who was erased ends no range, and begins none.
      const before = ranges.at(-1);
      if (before !== undefined && before.first + before.members === place) before.members += 1;
      continue;
    }
    const { kind } = addressOf(member.to);
    const bytes = Buffer.byteLength(JSON.stringify(postOf(batch, member)));
    const last = ranges.at(-1);
    if (
      last?.kind === kind &&
      last.members < mostChunkMembers &&
      last.bytes + bytes <= mostChunkBytes
    ) {
      last.members += 1;
      last.bytes += bytes;
    } else ranges.push({ first: place, members: 1, kind, bytes });
  }
  return ranges.map(({ first, members: count }) => ({ first, members: count }));
}

function isChunk(
  { batch, block, connectors, template, accounts }: ChunksOf,
  { first, members }: ChunkRange,
): boolean {
  const member = block.members[first];
  if (member === undefined || member === null || members < 2) return false;
  const post = postOf(batch, member);
  const messageId = idOfChunk(batch, block, first);
  const [{ account, connector: name }] = chooseRoutes({
    connectors,
    accounts,
    template,
    post,
    messageId,
  });
  const connector = connectors.get(name);
  return (
    connector !== undefined &&
    mayBatch(template, connector) &&
    takes(connector, post.to) &&
    account.ratePerSecond >= leastChunkRate
  );
}
