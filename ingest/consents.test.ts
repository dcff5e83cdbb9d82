import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import type { To } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { recordOptOut } from '../jobs/record-opt-out.ts';
import { createApp, listen, type RunningServer } from '../platform/http.ts';
import { createMetrics } from '../platform/metrics.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { consentRoutes } from './consents.ts';

const lines: string[] = [];
const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
const mysqlUrl = await testMysqlUrl();
const keyring = [`test:${Buffer.alloc(32, 7).toString('base64')}`];
const sealer = createSealer(keyring);
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const hash = (to: To, tenantId = 'shop') => hashRecipient(sealer, tenantId, to);

interface Caller {
  readonly tenantId: string;
}
let server: RunningServer;
before(async () => {
  await store.migrate();
  const app = createApp<Caller>({
    routes: consentRoutes<Caller>({
      consents: store.consents,
      hashRecipient: (tenantId, to) => hash(to, tenantId),
      channels: new Set(['sms', 'email']),
      logger,
    }),
    authenticate: async ({ authorization }) => {
      if (authorization === undefined) throw problem('unauthorized');
      return { tenantId: authorization };
    },
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown> & {
    errors?: { pointer: string }[];
    items?: Record<string, unknown>[];
    nextCursor?: string;
  };
}
async function call(
  method: string,
  path: string,
  { body, tenant = 'shop' }: { body?: unknown; tenant?: string } = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: {
      authorization: tenant,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Answer['body'],
  };
}
const base = '/v1/consents';
const marketing = { purpose: 'marketing', channel: 'sms' };
const grant = { ...marketing, action: 'granted', source: 'web-form', textVersion: '2026-11' };
const withdrawal = { ...marketing, action: 'withdrawn', source: 'preference-page' };
const record = async (body: object) => {
  const answer = await call('POST', base, { body });
  assert.ok(answer.status < 202, JSON.stringify(answer.body));
  return answer;
};
const stateOf = async (to: To, place: object = marketing, tenant = 'shop') => {
  const answer = await call('POST', `${base}/query`, { body: { to, ...place }, tenant });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body['state'];
};
let serial = 0;
const newPhone = () => ({ phone: `1370000${String((serial += 1)).padStart(4, '0')}` });
const isOut = (to: To, channel = 'sms') =>
  store.optOuts.isOut({ tenantId: 'shop', channel, recipientHash: hash(to) });
const rowsOf = async (to: To) => {
  const connection = await mysql.createConnection(mysqlUrl);
  try {
    const [rows] = await connection.query('select * from consents where recipient_hash = ?', [
      hash(to),
    ]);
    return rows as Record<string, unknown>[];
  } finally {
    await connection.end();
  }
};

describe('a consent', () => {
  it('is recorded with its proof, and is what it was to whoever looks', async () => {
    const to = newPhone();
    const proof = { occurredAt: '2026-11-20T08:00:00.000Z', locale: 'zh-CN', evidence: '表单 7' };
    const made = await record({ to, ...grant, ...proof });
    assert.equal(made.status, 201);
    const { id, recordedAt, ...rest } = made.body;
    assert.deepEqual(rest, { to, ...grant, ...proof });
    assert.match(String(id), /^cns_[0-9a-f]{32}$/);
    assert.ok(Math.abs(Date.now() - Date.parse(String(recordedAt))) < 60_000);
    const location = made.headers.get('location') ?? '';
    assert.equal(location, `${base}/${String(id)}`);
    const read = await call('GET', location);
    assert.deepEqual([read.status, read.body], [200, made.body]);
    assert.equal(read.headers.get('cache-control'), 'no-store');
    const foreign = [
      await call('GET', location, { tenant: 'other' }),
      await call('GET', `${base}/cns_none`),
    ];
    assert.deepEqual(
      foreign.map(({ status }) => status),
      [404, 404],
    );
  });

  it('is the newest word of its person, however the address is spelled', async () => {
    const to = newPhone();
    const spelled = { phone: `+86${to.phone}` };
    assert.equal(await stateOf(to), 'none');
    await record({ to, ...grant, occurredAt: '2026-11-02T00:00:00Z' });
    assert.equal(await stateOf(spelled), 'granted');
    assert.equal(await stateOf(to, { ...marketing, channel: 'email' }), 'none');
    assert.equal(await stateOf(to, { ...marketing, purpose: 'notice' }), 'none');
    assert.equal(await stateOf(to, marketing, 'other'), 'none');
    await record({ to, ...withdrawal, occurredAt: '2026-11-01T00:00:00Z' });
    assert.equal(await stateOf(to), 'granted', 'an older word that comes late changes nothing');
    await record({ to, ...withdrawal, occurredAt: '2026-11-02T00:00:00Z' });
    assert.equal(await stateOf(to), 'withdrawn', 'of two at one moment the withdrawal holds');
    await record({ to: spelled, ...grant });
    assert.equal(await stateOf(to), 'granted');
  });

  it('withdrawn without a channel is withdrawn from all, until one is granted anew', async () => {
    const to = { userId: 'u-all' };
    for (const channel of ['sms', 'email']) await record({ to, ...grant, channel });
    const { channel: _sms, ...everywhere } = withdrawal;
    const { body } = await record({ to, ...everywhere });
    assert.equal('channel' in body, false);
    const email = { ...marketing, channel: 'email' };
    assert.deepEqual([await stateOf(to), await stateOf(to, email)], ['withdrawn', 'withdrawn']);
    assert.deepEqual([await isOut(to), await isOut(to, 'push')], [true, true]);
    await record({ to, ...grant, occurredAt: new Date(Date.now() + 1000).toISOString() });
    assert.deepEqual([await stateOf(to), await stateOf(to, email)], ['granted', 'withdrawn']);
    assert.deepEqual([await isOut(to), await isOut(to, 'email')], [false, true]);
  });

  it('is one record when it is sent again', async () => {
    const to = newPhone();
    const body = { to, ...grant, occurredAt: '2026-11-02T00:00:00+08:00' };
    const answers = await Promise.all([record(body), record(body), record(body)]);
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    assert.equal(new Set(answers.map(({ body: { id } }) => id)).size, 1);
    assert.equal((await rowsOf(to)).length, 1);
  });

  it('is refused with the field that is at fault', async () => {
    const to = newPhone();
    const { channel: _channel, ...anywhere } = grant;
    const { textVersion: _text, ...textless } = grant;
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    const bad: [body: unknown, pointer: string][] = [
      [grant, '/to'],
      [{ ...grant, to: { phone: '12' } }, '/to/phone'],
      [{ ...grant, to, purpose: 'otp' }, '/purpose'],
      [{ ...grant, to, action: 'maybe' }, '/action'],
      [{ ...grant, to, channel: 'pigeon' }, '/channel'],
      [{ ...anywhere, to }, '/channel'],
      [{ ...textless, to }, '/textVersion'],
      [{ ...grant, to, source: 'Web form of 13900001111' }, '/source'],
      [{ ...grant, to, source: 'provider' }, '/source'],
      [{ ...grant, to, occurredAt: soon }, '/occurredAt'],
      [{ ...grant, to, occurredAt: '1969-12-31T23:59:59Z' }, '/occurredAt'],
      [{ ...grant, to, occurredAt: 'yesterday' }, '/occurredAt'],
      [{ ...grant, to, locale: 'Chinese!' }, '/locale'],
      [{ ...grant, to, evidence: '' }, '/evidence'],
    ];
    for (const [body, pointer] of bad) {
      const answer = await call('POST', base, { body });
      const pointers = answer.body.errors?.map((error) => error.pointer);
      assert.deepEqual([answer.status, pointers], [422, [pointer]], JSON.stringify(body));
    }
    assert.equal((await rowsOf(to)).length, 0);
    const query = await call('POST', `${base}/query`, {
      body: { to, ...marketing, channel: 'pigeon' },
    });
    assert.deepEqual([query.status, query.body.errors?.[0]?.pointer], [422, '/channel']);
  });

  it('is listed, in pages, of one person and of a tenant', async () => {
    const to = newPhone();
    const made: unknown[] = [];
    for (const action of [grant, withdrawal, grant])
      made.unshift((await record({ to, ...action })).body);
    await record({ to: newPhone(), ...grant });
    const walk = async (path: string, body?: unknown) => {
      const items: unknown[] = [];
      for (let cursor = ''; ;) {
        const method = body === undefined ? 'GET' : 'POST';
        const page = await call(method, `${path}limit=2${cursor}`, { body });
        assert.equal(page.status, 200, JSON.stringify(page.body));
        items.push(...(page.body.items ?? []));
        const { nextCursor } = page.body;
        if (nextCursor === undefined) return items;
        cursor = `&cursor=${nextCursor}`;
      }
    };
    assert.deepEqual(await walk(`${base}/history?`, { to }), made);
    const all = (await walk(`${base}?`)) as { id: string; action: string }[];
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length);
    assert.deepEqual(all.slice(1, 4), made);
    const withdrawn = await walk(`${base}?action=withdrawn&purpose=marketing&`);
    assert.deepEqual(
      withdrawn,
      all.filter(({ action }) => action === 'withdrawn'),
    );
    const foreign = await call('POST', `${base}/history`, { body: { to }, tenant: 'other' });
    assert.deepEqual(foreign.body.items, []);
    const bad = await call('GET', `${base}?colour=red`);
    assert.deepEqual([bad.status, bad.body.errors?.[0]?.pointer], [422, 'query/colour']);
  });

  it('of marketing is an opt-out when withdrawn, and ends one when granted', async () => {
    const to = newPhone();
    await record({ to, ...withdrawal });
    assert.deepEqual([await isOut(to), await isOut(to, 'email')], [true, false]);
    await record({ to, ...grant });
    assert.equal(await isOut(to), false);
    const other = newPhone();
    await record({ to: other, ...withdrawal, purpose: 'notice' });
    assert.equal(await isOut(other), false);
  });

  it('is withdrawn by a reply through the channel, once however often it is told', async () => {
    const to = newPhone();
    await record({ to, ...grant, occurredAt: '2026-11-02T00:00:00Z' });
    const notice = {
      version: 1 as const,
      type: 'opt-out' as const,
      tenantId: 'shop',
      accountId: 'acc_1',
      channel: 'sms',
      recipientHash: hash(to),
      how: 'reply-td',
      isOut: true,
      occurredAt: '2026-11-03T00:00:00.000Z',
    };
    await recordOptOut(store, notice);
    await recordOptOut(store, notice);
    assert.deepEqual([await stateOf(to), await isOut(to)], ['withdrawn', true]);
    const { items = [] } = (await call('POST', `${base}/history`, { body: { to } })).body;
    assert.equal(items.length, 2);
    const { id: _id, recordedAt: _at, ...told } = items[0] ?? {};
    assert.deepEqual(told, {
      ...marketing,
      action: 'withdrawn',
      source: 'provider',
      evidence: 'reply-td',
      occurredAt: notice.occurredAt,
    });
    await recordOptOut(store, { ...notice, isOut: false, occurredAt: '2026-11-04T00:00:00.000Z' });
    assert.deepEqual([await stateOf(to), await isOut(to)], ['withdrawn', false]);
  });

  it('keeps no address and no evidence in clear, and neither when its person is erased', async () => {
    const to = newPhone();
    const { id } = (await record({ to, ...grant, evidence: 'a form of Li Lei' })).body;
    const clear = JSON.stringify(await rowsOf(to)) + lines.join('\n');
    assert.ok(!clear.includes(to.phone) && !clear.includes('Li Lei'));
    const { erasure } = await store.erasures.create({
      tenantId: 'shop',
      addresses: [to],
      goneByMs: Date.now(),
    });
    await store.erasures.clear(erasure.id);
    const { body } = await call('GET', `${base}/${String(id)}`);
    assert.deepEqual(
      [body['to'], body['evidence'], body['textVersion']],
      [undefined, undefined, '2026-11'],
    );
    assert.equal(await stateOf(to), 'granted', 'the proof stays');
    assert.equal((await rowsOf(to))[0]?.['sealed'], '');
  });

  it('opens under a new master key when the old one is gone', async () => {
    const to = newPhone();
    const { id } = (await record({ to, ...grant, evidence: 'a form' })).body;
    const newest = `newest:${Buffer.alloc(32, 8).toString('base64')}`;
    const later = createStore({
      mysqlUrl,
      slots: 1,
      logger,
      sealer: createSealer([newest, ...keyring]),
    });
    try {
      assert.equal((await later.secrets.rewrap(60_000)).unreadable, 0);
      assert.equal((await later.consents.get('shop', String(id)))?.evidence, 'a form');
      assert.match(String((await rowsOf(to))[0]?.['sealed']), /^v1\.newest\./);
    } finally {
      await later.close();
    }
  });
});
