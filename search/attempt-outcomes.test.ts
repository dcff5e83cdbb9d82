/** Messages by what their attempts came to, through HTTP on a real index. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sequences, type Snapshot } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { sampleSnapshot } from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl } from '../tests/stack.ts';
import { messageRoutes } from './routes.ts';

const names = createNames(freshPrefix());
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const logger = createLogger('test', 'silent');
const index = createMessageIndex({ client, names, logger });
let server: RunningServer;

const sent = (changes: Partial<Snapshot>): Snapshot =>
  sampleSnapshot({ tenantId: 'demo', status: 'sent', sequence: sequences.end, ...changes });
const throttled = sent({
  attemptOutcomes: ['rate-limited', 'transient', 'accepted'],
  providerCodes: ['isv.BUSINESS_LIMIT_CONTROL', 'isp.SYSTEM_ERROR'],
});
const refused = sent({
  status: 'failed',
  attemptOutcomes: ['recipient-invalid'],
  providerCodes: ['isv.MOBILE_NUMBER_ILLEGAL'],
});
const [plain, untold] = [sent({ attemptOutcomes: ['accepted'] }), sent({})];

before(async () => {
  await index.install();
  await index.writeEvents([throttled, refused, plain, untold]);
  await index.writeEvents([sent({ tenantId: 'shop', attemptOutcomes: ['transient'] })]);
  await client.indices.refresh({ index: names.messageIndices });
  const routes = messageRoutes<unknown>({
    client,
    names,
    index,
    logger,
    hashRecipient: () => '',
    tenantOf: async () => 'demo',
    audience: 'services',
    stopped: new AbortController().signal,
  });
  const authenticate = async () => undefined;
  const app = createApp({
    routes,
    authenticate,
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

async function ask(path: string, query?: string) {
  const response = await fetch(`http://127.0.0.1:${server.port}/v1/messages${path}`, {
    method: query === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    ...(query !== undefined && { body: JSON.stringify({ query }) }),
  });
  const body = (await response.json()) as {
    readonly items: { readonly id: string }[];
    readonly total: number;
    readonly groups: { readonly attemptOutcome: string | null; readonly count: number }[];
    readonly rows: unknown[][];
  };
  return { status: response.status, body };
}
const found = async (filter: string) => {
  const { body } = await ask(`?${filter}`);
  return body.items.map(({ id }) => id);
};

describe('attempts', () => {
  it('find their message by the outcome or the code of any of them', async () => {
    assert.deepEqual(await found('attemptOutcome=transient'), [throttled.messageId]);
    assert.equal((await found('attemptOutcome=accepted')).length, 2);
    assert.deepEqual(await found('providerCode=isv.MOBILE_NUMBER_ILLEGAL'), [refused.messageId]);
    assert.deepEqual(await found('attemptOutcome=rate-limited&status=failed'), []);
    assert.equal((await ask('?attemptOutcome=lost')).status, 422);
  });

  it('are counted, each message under all that it has', async () => {
    const { body } = await ask('/counts?groupBy=attemptOutcome');
    assert.equal(body.total, 4);
    assert.deepEqual(
      body.groups.map(({ attemptOutcome, count }) => `${attemptOutcome} ${count}`).toSorted(),
      ['accepted 2', 'null 1', 'rate-limited 1', 'recipient-invalid 1', 'transient 1'],
    );
    const narrowed = await ask('/counts?providerCode=isp.SYSTEM_ERROR&groupBy=status');
    assert.deepEqual(narrowed.body.groups, [{ status: 'sent', count: 1 }]);
  });

  it('are columns of SQL', async () => {
    const rows = async (query: string) => (await ask('/sql', query)).body.rows;
    assert.deepEqual(
      await rows(
        `SELECT attemptOutcome, providerCode FROM messages WHERE attemptOutcome IN ('transient')`,
      ),
      [['rate-limited, transient, accepted', 'isv.BUSINESS_LIMIT_CONTROL, isp.SYSTEM_ERROR']],
    );
    assert.deepEqual(
      await rows(
        `SELECT status, COUNT(*) FROM messages WHERE attemptOutcome <> 'accepted' GROUP BY status`,
      ),
      [['failed', 1]],
    );
    assert.deepEqual(
      await rows('SELECT id, attemptOutcome FROM messages WHERE attemptOutcome IS NULL'),
      [[untold.messageId, null]],
    );
    assert.equal(
      (await ask('/sql', 'SELECT id FROM messages ORDER BY attemptOutcome')).status,
      422,
    );
  });
});
