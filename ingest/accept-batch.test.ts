/** Which items of a batch travel together. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { createConnectors } from '../channels/registry.ts';
import { isChunk, type ChunkMessage } from '../contracts/chunk.ts';
import type { PostMessage } from '../contracts/message.ts';
import { problem, Problem } from '../contracts/problems.ts';
import type { Account } from '../contracts/template.ts';
import { createNames } from '../contracts/topics.ts';
import { createDayKey } from '../platform/day-key.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createSealer } from '../platform/seal.ts';
import { demoTemplates } from '../stack/seed.ts';
import { checkVariables } from '../templates/index.ts';
import { acceptBatch } from './accept-batch.ts';

const sealer = createSealer([`test:${randomBytes(32).toString('base64')}`]);
const connectors = createConnectors({
  allowPrivateProviders: true,
  tokens: undefined as never,
  inbox: undefined as never,
});
const at = new Date().toISOString();

/** Ids and chunks that are published for these items. */
async function publish(
  posts: readonly (PostMessage | Problem)[],
  { ratePerSecond = 500, idempotencyKey = '' } = {},
) {
  const bodies: unknown[] = [];
  const account = {
    id: 'acc',
    tenantId: 'ten',
    connector: 'sms-aliyun',
    channel: 'sms',
    settings: {},
    ratePerSecond,
    weight: 1,
    slot: 0,
    limitInForce: ratePerSecond,
    isStopped: false,
  } as unknown as Account;
  const outcomes = await acceptBatch(
    {
      ids: createMessageIds(sealer),
      admit: async () => () => {},
      sealer,
      sealing: async (tenantId) =>
        createDayKey(
          { id: 'k', tenantId, day: '2026-11-21', destroyAfterMs: Infinity },
          randomBytes(32),
        ),
      publisher: {
        publish: async (_topic, { body }) => void bodies.push(JSON.parse(String(body))),
        close: async () => {},
      },
      names: createNames('t'),
      logger: createLogger('test', 'error'),
      connectors,
      template: async (tenantId, name) => {
        const found = demoTemplates.find((each) => each.name === name);
        const fixed = { id: 'tpl', tenantId, version: 1, createdAt: at, updatedAt: at };
        return found === undefined ? undefined : { ...found, ...fixed };
      },
      accountsOf: async () => [account],
      admitScheduled: async () => {},
      checkVariables,
    },
    { tenantId: 'ten', ...(idempotencyKey !== '' && { idempotencyKey }) },
    posts.map((post) => ({ post, bytes: 100 })),
  );
  const chunks = bodies.filter((body): body is ChunkMessage => isChunk(body));
  return {
    outcomes,
    sizes: chunks.map(({ members }) => members.length),
    ids: chunks.map(({ id }) => id),
    locales: chunks.flatMap(({ members }) => members.map(({ locale }) => locale)),
    singles: bodies.length - chunks.length,
  };
}
const posts = (count: number, more: Partial<PostMessage> = {}): PostMessage[] =>
  Array.from({ length: count }, (_, n) => ({
    to: { phone: `139${String(n).padStart(8, '0')}` },
    template: 'order-shipped',
    variables: { orderId: `o-${n}` },
    priority: 'bulk',
    ...more,
  }));
const fault = problem('validation-failed', { detail: '/to is nonsense' });

describe('items of a batch', () => {
  it('of bulk priority travel by the hundred; each is accepted under its own id', async () => {
    const { sizes, singles, outcomes } = await publish(posts(250));
    assert.deepEqual([sizes.toSorted((a, b) => b - a), singles], [[100, 100, 50], 0]);
    const ids = outcomes.flatMap((each) => (each instanceof Problem ? [] : [each.id]));
    assert.equal(new Set(ids).size, 250);
  });

  it('of several languages travel together, each with its own', async () => {
    const mixed = [...posts(2), ...posts(1, { locale: 'zh-hant' }), ...posts(1, { locale: 'en' })];
    const { sizes, locales } = await publish(mixed);
    assert.deepEqual([sizes, locales], [[4], [undefined, undefined, 'zh-Hant', 'en']]);
  });

  it('of other priorities, with options of their own, or through a slow account go alone', async () => {
    const alone = async (...given: Parameters<typeof publish>) => {
      const { sizes, singles } = await publish(...given);
      assert.deepEqual(sizes, []);
      return singles;
    };
    assert.equal(await alone(posts(3, { priority: 'normal' })), 3);
    assert.equal(await alone(posts(3, { channel: 'sms' })), 3);
    assert.equal(await alone([...posts(2), ...posts(1, { expiresIn: 60 })]), 3);
    assert.equal(await alone([...posts(2), ...posts(1, { timeZone: 'Asia/Shanghai' })]), 3);
    const code = { template: 'login-code', variables: { code: '1' } };
    assert.equal(await alone(posts(3, code)), 3, 'one-time passwords');
    assert.equal(await alone(posts(3), { ratePerSecond: 100 }), 3);
    assert.equal(await alone(posts(1)), 1);
  });

  it('under a key make the same chunk again, whatever became of the account or of a bad item', async () => {
    const idempotencyKey = 'k';
    const first = await publish([...posts(2), fault], { idempotencyKey });
    assert.deepEqual(first.sizes, [2]);
    assert.equal(first.outcomes[2], fault);
    const second = await publish(posts(3), { idempotencyKey, ratePerSecond: 100 });
    assert.deepEqual([second.sizes, second.ids], [[3], first.ids]);
    assert.notDeepEqual((await publish(posts(3), { idempotencyKey: 'other' })).ids, first.ids);
  });
});
