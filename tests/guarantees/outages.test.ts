/**
 * Each server is killed under the running product, as a power cut would: nothing accepted is lost, nothing is sent twice,
 * callers are told, and all goes on by itself. The chapters share one system; each leaves it whole.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pause } from '../../platform/lifecycle.ts';
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { startServers } from '../../stack/servers.ts';
import { testServers, until } from '../stack.ts';
import { startSystem, type Answer } from '../system.ts';

const shared = testServers();
// Servers of this file's own: the shared ones belong to all files and may not die.
const servers = await startServers({
  dataDir: join(shared.dataDir, 'outages'),
  cacheDir: shared.cacheDir,
  portOffset: shared.portOffset + 500,
  onProgress: () => {},
});
const system = await startSystem({
  servers,
  env: { MC_INVISIBLE_SECONDS: '10' },
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const admin = createRocketmqAdmin({ nameServer: servers.rocketmqNameServer, timeoutMs: 5000 });
after(async () => {
  admin.close();
  await servers.stop();
});

const { names, services, sandbox } = system;
const { device } = sandbox.smsAliyun;
type Process = keyof typeof services;

interface Posted {
  readonly id: string;
  readonly phone: string;
}

let posted = 0;
const allPosted: Posted[] = [];

const messageTo = (phone: string) => ({
  to: { phone },
  template: 'order-shipped',
  variables: { orderId: `SO-${phone}` },
});
const freshPhone = () => `135${String(++posted).padStart(8, '0')}`;

/** Posts to a number of its own and remembers it, to be counted on the phones. */
async function post(headers: Record<string, string> = {}): Promise<Posted> {
  const phone = freshPhone();
  const answer = await system.call('POST', '/v1/messages', messageTo(phone), headers);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  const accepted = { id: String(answer.body['id']), phone };
  allPosted.push(accepted);
  return accepted;
}

const postMany = (count: number) => Promise.all(Array.from({ length: count }, () => post()));

const shown = (phones: readonly string[]) =>
  phones.filter((phone) => device.count('phone', phone) > 0).length;

/** Every message of this file so far is on its phone, nothing is left in the lanes, and no phone has one twice. */
async function allDeliveredOnce(): Promise<void> {
  const phones = allPosted.map(({ phone }) => phone);
  await until(
    'each message is on its phone',
    () => (shown(phones) === phones.length ? true : undefined),
    {
      timeoutMs: 90_000,
      seen: () => `${shown(phones)} of ${phones.length}`,
    },
  );
  await until(
    'the bridge has nothing left to receive',
    async () =>
      (await admin.groupLag(names.group('bridge'), names.lane(0, 'normal'))).lag === 0
        ? true
        : undefined,
    { timeoutMs: 30_000 },
  );
  for (const { id } of allPosted) await system.untilStatus(id, ['sent'], 60_000);
  assert.deepEqual(device.repeated('phone'), []);
}

/** Search shows each of them with its end. */
async function allFound(messages: readonly Posted[]): Promise<void> {
  for (const { id, phone } of messages) {
    const item = await until(
      `${id} is found as sent`,
      async () => {
        const { body } = await system.call('GET', `/v1/messages?to=${phone}&status=sent`);
        return (body['items'] as { id: string }[])[0];
      },
      { timeoutMs: 30_000 },
    );
    assert.equal(item.id, id);
  }
}

function assertRefused(answer: Answer, code: string): void {
  assert.equal(answer.status, 503, JSON.stringify(answer.body));
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(answer.body['type'], `urn:message-center:problem:${code}`);
  assert.ok(Number(answer.headers.get('retry-after')) > 0);
}

const healthPort = (name: Process) => system.config[`${name}Port`];

async function waitingFor(name: Process): Promise<string[]> {
  const answer = await fetch(`http://127.0.0.1:${healthPort(name)}/readyz`);
  const body = (await answer.json()) as { waitingFor: string[] };
  assert.equal(answer.status, body.waitingFor.length === 0 ? 200 : 503);
  return body.waitingFor;
}

interface LogLine {
  readonly time: string;
  readonly msg?: string;
  readonly server?: string;
  readonly messageId?: string;
  readonly deliveryAttempt?: number;
}

function logOf(name: Process): LogLine[] {
  return readFileSync(join(system.logDir, `${name}.log`), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as LogLine);
}

/** Kills a process, and has it start anew while `server` is away. */
async function restartsWithout(name: Process, server: string): Promise<void> {
  const from = new Date().toISOString();
  await services[name].kill();
  await until(`${name} says on /readyz that it waits for ${server}`, async () =>
    (await waitingFor(name)).includes(server) ? true : undefined,
  );
  await until(`${name} says in its log that it waits for ${server}`, () =>
    logOf(name).find((line) => line.time > from && line.server === server),
  );
}

describe('RocketMQ is killed', () => {
  let earlier: Posted;
  const key = { 'Idempotency-Key': 'during-the-outage' };
  const phone = freshPhone();
  const repeat = () => system.call('POST', '/v1/messages', messageTo(phone), key);
  const repeatIsRefused = async () => {
    const from = Date.now();
    const answer = await repeat();
    assert.ok(Date.now() - from < 6500, `${Date.now() - from} ms`);
    assertRefused(answer, 'broker-unavailable');
    assert.ok(['no', 'unknown'].includes(String(answer.body['stored'])));
    return answer.body['stored'];
  };

  before(async () => {
    earlier = await post();
    await system.untilStatus(earlier.id, ['sent']);
    // What is accepted from here on is nowhere but in the broker when it dies.
    await services.bridge.stop();
    await postMany(20);
    await servers.rocketmq.kill('SIGKILL');
  });

  it('a POST is refused within 6 s as broker-unavailable, and says whether it was stored', async () => {
    await repeatIsRefused();
    await repeatIsRefused();
  });

  it('the status of an earlier message still answers', async () => {
    const { status, body } = await system.call('GET', `/v1/messages/${earlier.id}`);
    assert.equal(status, 200);
    assert.equal(body['status'], 'sent');
  });

  it('processes that start meanwhile say that they wait for RocketMQ', async () => {
    services.bridge.start();
    await restartsWithout('bridge', 'RocketMQ');
    await restartsWithout('worker', 'RocketMQ');
    await restartsWithout('ingest', 'RocketMQ');
    assert.equal(await repeatIsRefused(), 'no');
  });

  it('once it is back, the repeat is accepted, and it and all accepted before the kill is delivered once', async () => {
    await servers.rocketmq.start();
    const answer = await until(
      'the repeat is accepted',
      async () => {
        const again = await repeat();
        return again.status === 202 ? again : undefined;
      },
      { timeoutMs: 60_000 },
    );
    allPosted.push({ id: String(answer.body['id']), phone });
    await post();
    await allDeliveredOnce();
    await allFound(allPosted);
    await Promise.all([services.bridge.ready(), services.ingest.ready()]);
  });
});

describe('Temporal is killed', () => {
  const outageMs = 42_000;
  let killedAt: number;
  const waiting: Posted[] = [];

  before(async () => {
    // Some are under way when it dies.
    await postMany(20);
    await servers.temporal.kill('SIGKILL');
    killedAt = Date.now();
  });

  it('messages are accepted all the same, and their status says accepted', async () => {
    waiting.push(...(await postMany(10)));
    const [first] = waiting;
    assert.ok(first !== undefined);
    const status = await system.untilStatus(first.id, ['accepted'], 15_000);
    assert.equal(status['id'], first.id);
  });

  it('a process that starts meanwhile says that it waits for Temporal', () =>
    restartsWithout('worker', 'Temporal'));

  it('the bridge stops receiving: no redelivery is burnt and nothing is dead-lettered, however long it takes', async () => {
    await until(
      'the outage is long',
      async () => {
        waiting.push(await post());
        return Date.now() - killedAt > outageMs ? true : undefined;
      },
      { timeoutMs: outageMs + 20_000, everyMs: 1500 },
    );
    // The first deliveries meet the dead server; after the long polls that were open then, there are none.
    const settledAt = new Date(killedAt + 20_000).toISOString();
    const later = logOf('bridge').filter(
      (line) => line.msg === 'message.postponed' && line.time > settledAt,
    );
    assert.deepEqual(later, []);
    assert.equal(shown(waiting.map(({ phone }) => phone)), 0);
  });

  it('once it is back, with its data, each message is delivered once', async (t) => {
    await servers.temporal.start();
    const backAt = Date.now();
    await allDeliveredOnce();
    t.diagnostic(`all delivered ${Date.now() - backAt} ms after it was back`);
    const ids = new Set(waiting.map(({ id }) => id));
    const attempts = logOf('bridge').flatMap(({ messageId = '', deliveryAttempt }) =>
      ids.has(messageId) && deliveryAttempt !== undefined ? [deliveryAttempt] : [],
    );
    assert.ok(attempts.length >= ids.size);
    t.diagnostic(`most deliveries of one message: ${Math.max(...attempts)}`);
    assert.ok(Math.max(...attempts) <= 3, `deliveries: ${attempts.join(' ')}`);
    for (const role of ['bridge', 'indexer', 'jobs'] as const) {
      const deadLetters = `%DLQ%${names.group(role)}`;
      if (await admin.topicExists(deadLetters))
        assert.equal(await admin.topicMessageCount(deadLetters), 0, deadLetters);
    }
    await services.worker.ready();
  });
});

describe('Elasticsearch is killed', () => {
  const during: Posted[] = [];

  before(() => servers.elasticsearch.kill('SIGKILL'));

  it('messages are accepted and delivered, and their status comes from the run', async () => {
    during.push(...(await postMany(10)));
    for (const { id, phone } of during) {
      const status = await system.untilStatus(id, ['sent']);
      assert.equal(status['attempts'], 1);
      assert.equal(device.count('phone', phone), 1);
    }
  });

  it('search is refused as search-unavailable', async () => {
    const answer = await system.call('GET', '/v1/messages?status=sent');
    assertRefused(answer, 'search-unavailable');
  });

  it('a process that starts meanwhile says that it waits for Elasticsearch', () =>
    restartsWithout('indexer', 'Elasticsearch'));

  it('once it is back, every message is found with its end', async () => {
    await servers.elasticsearch.start();
    during.push(await post());
    await allFound(during);
    await services.indexer.ready();
    await allDeliveredOnce();
  });
});

describe('MySQL is killed', () => {
  const stranger = { authorization: `Bearer mck_aaaaaaaaaa_${'x'.repeat(43)}` };
  const search = (headers: Record<string, string> = {}) =>
    system.call('GET', '/v1/messages', undefined, headers);

  before(() => servers.mariadb.kill('SIGKILL'));

  it('known keys and templates go on: messages are accepted; none is sent while a recall could not be read', async () => {
    // Until then a process may go on: its lease has not run out.
    await pause(2500);
    const during = await postMany(10);
    await pause(3000);
    assert.equal(shown(during.map(({ phone }) => phone)), 0);
  });

  it('an unknown key is answered 503 store-unavailable, since nobody can say that it is wrong', async () => {
    assertRefused(await search(stranger), 'store-unavailable');
  });

  it('so is an unknown template', async () => {
    const message = { ...messageTo('13500009999'), template: 'unheard-of' };
    assertRefused(await system.call('POST', '/v1/messages', message), 'store-unavailable');
  });

  it('a process that runs says on /readyz that it misses MySQL', async () => {
    await until('ingest says so', async () =>
      (await waitingFor('ingest')).includes('MySQL') ? true : undefined,
    );
  });

  it('processes that start meanwhile say that they wait for MySQL', async () => {
    await restartsWithout('jobs', 'MySQL');
    await restartsWithout('worker', 'MySQL');
    await restartsWithout('admin', 'MySQL');
    await restartsWithout('ingest', 'MySQL');
    assertRefused(await search(), 'store-unavailable');
  });

  it('once it is back, all is as before', async () => {
    await servers.mariadb.start();
    await until('an unknown key is refused as such', async () =>
      (await search(stranger)).status === 401 ? true : undefined,
    );
    const { key } = await system.store.apiKeys.create(system.tenantId, {
      name: 'after the outage',
    });
    await post({ authorization: `Bearer ${key}` });
    await Promise.all(Object.values(services).map((service) => service.ready()));
    await allDeliveredOnce();
  });
});
