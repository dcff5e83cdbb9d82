/** What is accepted is sealed under the key of its tenant and day. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { dayKeyIdOf, utcDay } from '../platform/day-key.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { startIngestApp, type IngestApp } from '../tests/ingest-app.ts';
import { createLine } from '../tests/line.ts';
import { testMysqlUrl } from '../tests/stack.ts';

const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const keyring = [`test:${Buffer.alloc(32, 7).toString('base64')}`];
const sealer = createSealer(keyring);
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const keyDays = 14;
let line: Awaited<ReturnType<typeof createLine>>;
let ingest: IngestApp;
let key: string;

before(async () => {
  await store.migrate();
  await store.tenants.create('ten', 'Ten');
  const contents = { 'sms-test': { text: 'hello' } };
  await store.templates.create('ten', { name: 'notice', kind: 'notice', variables: {}, contents });
  const edit = { name: 'a', connector: 'sms-test', settings: {}, secrets: {}, ratePerSecond: 100 };
  await store.channelAccounts.create({ tenantId: 'ten', channel: 'sms', edit });
  ({ key } = await store.apiKeys.create('ten', { name: 'test' }));
  const url = new URL(mysqlUrl);
  line = await createLine(url.hostname, Number(url.port || 3306));
  url.host = `127.0.0.1:${line.port}`;
  const options = { mysqlUrl: url.toString(), keyring, logger, keyDays };
  ingest = await startIngestApp({ ...options, instanceId: 'one' });
});
after(async () => {
  await ingest.close();
  await store.close();
  await line.cut();
});

const post = (more: object = {}) =>
  ingest.call(key, '/v1/messages', {
    body: { to: { phone: '13900001111' }, template: 'notice', ...more },
  });
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();

describe('a message that is accepted', () => {
  it('opens by the key of its day, and by no master key', async () => {
    assert.equal((await post()).status, 202);
    const message = ingest.published.at(-1);
    assert.ok(message !== undefined);
    const id = dayKeyIdOf(message.sealed) ?? '';
    assert.ok(id.startsWith(utcDay(Date.parse(message.acceptedAt)).replaceAll('-', '')), id);
    assert.throws(() => sealer.open(message.sealed, message.id));
    const opened = await store.dayKeyRing.open(message.sealed, message.id);
    assert.deepEqual(JSON.parse(opened.toString()), {
      to: { phone: '13900001111' },
      variables: {},
    });
  });

  it('is refused when its time may come after the key is gone', async () => {
    assert.equal((await post({ sendAt: inDays(12) })).status, 202);
    const refused = await post({ sendAt: inDays(15) });
    assert.equal(refused.status, 422);
    assert.match(JSON.stringify(refused.body['errors']), /"\/sendAt".*can be read until/);
  });

  it('is taken and sealed while MySQL is away', async () => {
    await line.cut();
    assert.equal((await post()).status, 202);
    const sealed = ingest.published.at(-1)?.sealed ?? '';
    assert.ok((await store.dayKeyRing.readableUntilMs(sealed)) > Date.now() + keyDays * 86_400_000);
  });
});
