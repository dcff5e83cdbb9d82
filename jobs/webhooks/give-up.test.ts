import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, it } from 'node:test';
import mysql from 'mysql2/promise';
import { createNames } from '../../contracts/topics.ts';
import { pause } from '../../platform/lifecycle.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore } from '../../store/index.ts';
import { testMysqlUrl, until } from '../../tests/stack.ts';
import { runWebhooks } from './run-webhooks.ts';
import { giveUpAfterMs, retryDelaysMs } from './schedule.ts';

const logger = createLogger('test', 'fatal');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const connection = await mysql.createConnection({ uri: mysqlUrl, timezone: 'Z' });

/** Where the clock stands at each call of the receiver, which takes nothing. */
const calledAtMs: number[] = [];
let aheadMs = 0;
const now = () => Date.now() + aheadMs;
const server = createServer((request, response) => {
  request.resume();
  calledAtMs.push(now());
  response.writeHead(500).end();
});
before(async () => {
  await store.migrate();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await connection.end();
  await store.close();
});

it('an event that no try delivers is given up after three days, and its row is gone', async () => {
  const { port } = server.address() as AddressInfo;
  const { id: endpointId } = (
    await store.webhookEndpoints.create('shop', { url: `http://127.0.0.1:${port}/hook` })
  ).endpoint;
  const event = { eventId: 'msg_1/0/9', type: 'message.failed', messageId: 'msg_1', body: '{}' };
  const startMs = Date.now();
  await store.webhookDeliveries.keep([{ endpointId, event, tries: 1, nextTryAtMs: startMs }]);
  const running = await runWebhooks({
    receiver: {
      receive: async () => {
        await pause(50);
        return [];
      },
      acknowledge: async () => {},
      retryLater: async () => {},
      close: async () => {},
    },
    publisher: { publish: async () => {} },
    names: createNames('t'),
    store,
    allowPrivate: true,
    logger,
    metrics: createMetrics(),
    timeoutMs: 5000,
    now,
  });
  const rowOf = async () => {
    const [rows] = await connection.query('select * from webhook_deliveries');
    return (rows as { tries: number; next_try_at: Date }[])[0];
  };
  try {
    for (let tries = 1; ; tries += 1) {
      const row = await until(
        `try ${tries + 1} is over`,
        async () => {
          if (calledAtMs.length < tries) return undefined;
          const found = await rowOf();
          return found === undefined ? 'gone' : found.tries > tries ? found : undefined;
        },
        { seen: () => [calledAtMs.length, aheadMs] },
      );
      if (row === 'gone') break;
      // On to the next try.
      aheadMs = row.next_try_at.getTime() - Date.now() + 1000;
    }
  } finally {
    await running.stop();
  }
  const waitedMs = (calledAtMs.at(-1) ?? 0) - startMs;
  assert.ok(waitedMs >= giveUpAfterMs, `${waitedMs}`);
  assert.equal(calledAtMs.length, retryDelaysMs.length, 'with the first try, which was before');
  const before = (calledAtMs.at(-2) ?? 0) - startMs;
  assert.ok(before < giveUpAfterMs, `${before}`);
  const attempts = await store.webhookAttempts.list(endpointId, { limit: 1 });
  assert.equal(attempts[0]?.attempt.outcome, 'given-up');
  assert.equal((await store.webhookEndpoints.find(endpointId))?.isEnabled, true);
});
