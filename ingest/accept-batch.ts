/**
 * Stage 1 of a batch. Runs of a hundred bulk messages without options of their own go as one chunk. Whether they do depends on
 * what was posted, not on the state of accounts, so that a repeat under the same key makes the same chunks.
 */
import { randomUUID } from 'node:crypto';
import { leastChunkRate, mostChunkBytes, mostChunkMembers } from '../contracts/chunk.ts';
import {
  addressOf,
  kindDefaults,
  type AcceptedMessage,
  type PostMessage,
} from '../contracts/message.ts';
import { Problem } from '../contracts/problems.ts';
import { chunkId, mayBatch, publishChunk, toChunk } from '../platform/publish-chunk.ts';
import {
  acceptMessage,
  admitMessage,
  logAccepted,
  prepareMessage,
  publishDeadlineMs,
  storing,
  type AcceptDeps,
  type AcceptRequest,
} from './accept-message.ts';
import { takes } from '../platform/choose-routes.ts';

/** One entry of a batch: what was posted, or what is wrong with it. */
export interface BatchItem {
  readonly post: PostMessage | Problem;
  /** Size of it as JSON. */
  readonly bytes: number;
}

type Common = Pick<AcceptRequest, 'tenantId' | 'idempotencyKey' | 'traceparent'>;
type Outcome = AcceptedMessage | Problem;

interface Range {
  /** Place of its first item in the batch. */
  readonly first: number;
  readonly items: readonly BatchItem[];
}

/** Accepts each of them; one outcome for each, in order. Errors: defects only. */
export async function acceptBatch(
  deps: AcceptDeps,
  common: Common,
  items: readonly BatchItem[],
): Promise<readonly Outcome[]> {
  const inTurn = createTurns();
  const ranges = Array.from(
    { length: Math.ceil(items.length / mostChunkMembers) },
    (_, n): Range => ({
      first: n * mostChunkMembers,
      items: items.slice(n * mostChunkMembers, (n + 1) * mostChunkMembers),
    }),
  );
  const outcomes = await Promise.all(
    ranges.map(async (range) => {
      if (await isChunk(deps, common, range)) return acceptChunk(deps, common, range);
      return Promise.all(
        range.items.map(async ({ post }, offset) =>
          post instanceof Problem
            ? post
            : orProblem(() =>
                inTurn(post.orderingKey, () =>
                  acceptMessage(deps, { ...common, post, index: range.first + offset }),
                ),
              ),
        ),
      );
    }),
  );
  return outcomes.flat();
}

/** Whether all of a range can travel together. */
async function isChunk(
  deps: AcceptDeps,
  { tenantId, idempotencyKey }: Common,
  { items }: Range,
): Promise<boolean> {
  const posts = items.flatMap(({ post }) => (post instanceof Problem ? [] : [post]));
  const [first] = posts;
  const bytes = items.reduce((sum, item) => sum + item.bytes, 0);
  if (first === undefined || items.length < 2 || bytes > mostChunkBytes) return false;
  const shape = shapeOf(first);
  if (shape === undefined || posts.some((post) => shapeOf(post) !== shape)) return false;
  const template = await orUndefined(() => deps.template(tenantId, first.template));
  if (template === undefined) return false;
  const priority = first.priority ?? kindDefaults[template.kind].priority;
  const connector = Object.keys(template.contents)
    .map((name) => deps.connectors.get(name))
    .find((each) => each !== undefined && takes(each, first.to));
  const isBulk = priority === 'bulk' && addressOf(first.to).kind !== 'userId';
  if (!isBulk || connector === undefined || !mayBatch(template, connector)) return false;
  if (idempotencyKey !== undefined) return true;
  // Without a key there is no repeat to agree with: what would only fall out of its chunk goes alone at once.
  const accounts = await orUndefined(() => deps.accountsOf(tenantId));
  return (accounts ?? []).some(
    (account) => account.connector === connector.name && account.ratePerSecond >= leastChunkRate,
  );
}

/** What members of a chunk have in common; undefined: options of its own keep it out of any. */
function shapeOf(post: PostMessage): string | undefined {
  const {
    to,
    template,
    priority,
    batch,
    expiresIn,
    variables: _own,
    metadata: _its,
    locale: _spoken,
    ...options
  } = post;
  return Object.keys(options).length > 0
    ? undefined
    : JSON.stringify([addressOf(to).kind, template, priority, batch, expiresIn]);
}

async function acceptChunk(
  deps: AcceptDeps,
  common: Common,
  { first, items }: Range,
): Promise<readonly Outcome[]> {
  const { tenantId, idempotencyKey } = common;
  // Not the key itself: it is the service's word, and may be personal.
  const id = chunkId(tenantId, idempotencyKey ?? randomUUID(), first);
  const now = new Date();
  const prepared = await Promise.all(
    items.map(async ({ post }, offset) =>
      post instanceof Problem
        ? post
        : orProblem(async () => {
            const member = await prepareMessage(deps, {
              ...common,
              post,
              index: first + offset,
              chunk: { id, now },
            });
            return { ...member, uncount: await admitMessage(deps, common, member.message) };
          }),
    ),
  );
  const good = prepared.flatMap((each) => (each instanceof Problem ? [] : [each]));
  const [one] = good;
  if (one === undefined) return prepared.map((each) => each as Problem);
  const chunk = toChunk(
    id,
    good.map(({ message }) => message),
  );
  const uncount = () => {
    for (const member of good) member.uncount();
  };
  const refused = await orProblem(() =>
    storing(uncount, () =>
      publishChunk(deps, { chunk, slot: one.slot }, { deadlineMs: publishDeadlineMs }),
    ),
  );
  return prepared.map((each) => {
    if (each instanceof Problem) return each;
    if (refused instanceof Problem) return refused;
    logAccepted(deps, each.message);
    return each.message;
  });
}

async function orProblem<T>(work: () => Promise<T>): Promise<T | Problem> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Problem && error.code !== 'internal-error') return error;
    throw error;
  }
}

/** What cannot be looked up now is said of each message by itself. */
async function orUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  const result = await orProblem(work);
  return result instanceof Problem ? undefined : result;
}

/** Work of one ordering key goes one after the other, in the order of the calls; work without a key at once. */
function createTurns() {
  const last = new Map<string, Promise<unknown>>();
  return <T>(key: string | undefined, work: () => Promise<T>): Promise<T> => {
    if (key === undefined) return work();
    const turn = (last.get(key) ?? Promise.resolve()).then(work, work);
    last.set(key, turn);
    return turn;
  };
}
