import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { listen, type RunningServer } from '../platform/http.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { adminOpenapi, createAdminApp } from './server.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const token = 'test-token-of-24-characters';
const secret = 'never-to-be-seen-again';
const lines: string[] = [];
const answers: string[] = [];
const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
const mysqlUrl = await testMysqlUrl();
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl, sealer, slots: 4, logger });

let verdict: SendOutcome = { class: 'accepted', providerId: 'p' };
let closedClients = 0;
const connector: Connector = {
  ...plainConnector,
  settingsSchema: Type.Object(
    { endpoint: Type.String({ pattern: '^https://' }) },
    { additionalProperties: false },
  ),
  secretsSchema: Type.Object(
    { accessKeySecret: Type.String({ minLength: 5, pattern: '^[a-z-]+$' }) },
    { additionalProperties: false },
  ),
  contentSchema: Type.Object(
    { signName: Type.String({ minLength: 2 }), text: Type.String() },
    { additionalProperties: false },
  ),
  createClient: (access) => ({
    send: async () => verdict,
    verify: async () => {
      assert.deepEqual(access.secrets, { accessKeySecret: secret });
      return verdict;
    },
    close: async () => void (closedClients += 1),
  }),
};

let server: RunningServer;
before(async () => {
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  const app = createAdminApp({
    store,
    connectors: new Map([[connector.name, connector]]),
    logger,
    metrics: createMetrics(),
    adminToken: token,
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
  // What came back, looked into by the assertions.
  readonly body: Record<string, unknown> & {
    errors?: { pointer: string; detail: string }[];
    items?: Record<string, unknown>[];
  };
}
async function call(
  method: string,
  path: string,
  options: { body?: unknown; ifMatch?: string; token?: string } = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${options.token ?? token}`,
      ...(options.body !== undefined && { 'content-type': 'application/json' }),
      ...(options.ifMatch !== undefined && { 'if-match': options.ifMatch }),
    },
    ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
  });
  const text = await response.text();
  answers.push(text);
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : JSON.parse(text),
  };
}
const pointers = (answer: Answer) => answer.body.errors?.map((error) => error.pointer);
const problemOf = (answer: Answer) =>
  String(answer.body['type']).replace('urn:message-center:problem:', '');

const account = (name: string) => ({
  name,
  connector: 'sms-test',
  settings: { endpoint: 'https://sms.example' },
  secrets: { accessKeySecret: secret },
  ratePerSecond: 20,
});
const template = (name: string) => ({
  name,
  kind: 'otp',
  variables: { code: { type: 'string', maxLength: 8 } },
  contents: { 'sms-test': { signName: '阿里云', text: '您的验证码是 {{ code }} 🔐' } },
});

describe('the administration API', () => {
  it('asks for its token, and does not start with a short one', async () => {
    for (const given of ['', 'wrong', `${token}x`]) {
      const answer = await call('GET', '/v1/tenants', { token: given });
      assert.deepEqual([answer.status, problemOf(answer)], [401, 'unauthorized']);
    }
    const options = { store, connectors: new Map(), logger, metrics: createMetrics() };
    assert.throws(() => createAdminApp({ ...options, adminToken: 'short' }), /MC_ADMIN_TOKEN/);
  });

  for (const [path, make, change] of [
    ['/v1/templates', template, { description: 'changed' }],
    ['/v1/channel-accounts', account, { ratePerSecond: 30 }],
  ] as const)
    it(`creates, reads, changes and deletes at ${path}`, async () => {
      const made = await call('POST', path, { body: make('life') });
      assert.equal(made.status, 201);
      assert.equal(made.headers.get('etag'), '"1"');
      const location = made.headers.get('location') ?? '';
      assert.equal(location, `${path}/${String(made.body['id'])}`);
      const read = await call('GET', location);
      assert.deepEqual([read.body, read.headers.get('etag')], [made.body, '"1"']);
      const listed = await call('GET', `${path}?tenantId=demo&name=life`);
      assert.deepEqual(listed.body.items, [made.body]);

      const next = { ...make('life'), ...change };
      const blind = await call('PUT', location, { body: next });
      assert.deepEqual([blind.status, problemOf(blind)], [428, 'precondition-required']);
      const garbled = await call('PUT', location, { body: next, ifMatch: 'one' });
      assert.deepEqual([garbled.status, pointers(garbled)], [422, ['header/if-match']]);
      const put = await call('PUT', location, { body: next, ifMatch: 'W/"1"' });
      assert.deepEqual([put.status, put.headers.get('etag')], [200, '"2"']);
      const lost = await call('PUT', location, { body: make('life'), ifMatch: '"1"' });
      assert.deepEqual([lost.status, problemOf(lost)], [412, 'version-conflict']);
      assert.deepEqual((await call('GET', location)).body, put.body);

      const taken = await call('POST', path, { body: make('life') });
      assert.deepEqual(
        [taken.status, problemOf(taken), pointers(taken)],
        [409, 'name-taken', ['/name']],
      );
      assert.equal((await call('DELETE', location)).status, 428);
      assert.equal((await call('DELETE', location, { ifMatch: '"1"' })).status, 412);
      assert.equal((await call('DELETE', location, { ifMatch: '"2"' })).status, 204);
      for (const method of ['GET', 'DELETE'])
        assert.equal((await call(method, location, { ifMatch: '"2"' })).status, 404);
      assert.equal((await call('PUT', location, { body: next, ifMatch: '"2"' })).status, 404);
      assert.equal((await call('POST', path, { body: make('life') })).status, 201);
    });

  it('names every faulty field of a channel account', async () => {
    const bad: [change: object, pointers: string[]][] = [
      [{ tenantId: 'nobody' }, ['/tenantId']],
      [{ connector: 'sms-nobody' }, ['/connector']],
      [{ connector: 5 }, ['/connector']],
      [{ settings: { endpoint: 'http://x' } }, ['/settings/endpoint']],
      [{ settings: { endpoint: 'https://x', zone: 1 } }, ['/settings/zone']],
      [{ settings: 'x' }, ['/settings']],
      [{ secrets: undefined }, ['/secrets/accessKeySecret']],
      [{ secrets: { accessKeySecret: 'UPPER' } }, ['/secrets/accessKeySecret']],
      [{ ratePerSecond: 0 }, ['/ratePerSecond']],
      [{ name: 'Bad Name' }, ['/name']],
      [{ slot: 3 }, ['/slot']],
      [{ settings: {}, secrets: {} }, ['/settings/endpoint', '/secrets/accessKeySecret']],
    ];
    for (const [change, expected] of bad) {
      const answer = await call('POST', '/v1/channel-accounts', {
        body: { ...account('bad'), ...change },
      });
      assert.deepEqual([answer.status, pointers(answer)], [422, expected]);
    }
    const made = await call('POST', '/v1/channel-accounts', { body: account('fixed') });
    const moved = await call('PUT', `/v1/channel-accounts/${String(made.body['id'])}`, {
      body: { ...account('fixed'), connector: 'sms-other' },
      ifMatch: '"1"',
    });
    assert.deepEqual([moved.status, pointers(moved)], [422, ['/connector']]);
  });

  it('names every faulty field of a template', async () => {
    const content = { signName: '阿里云', text: '' };
    const bad: [change: object, pointers: string[]][] = [
      [{ tenantId: 'nobody' }, ['/tenantId']],
      [{ kind: 'spam' }, ['/kind']],
      [{ variables: { 'bad name': { type: 'string' } } }, ['/variables/bad name']],
      [{ variables: { code: { type: 'date' } } }, ['/variables/code/type']],
      [{ contents: {} }, ['/contents']],
      [{ contents: { 'sms-nobody': content } }, ['/contents/sms-nobody']],
      [{ contents: { 'sms-test': { text: '' } } }, ['/contents/sms-test/signName']],
      [
        { contents: { 'sms-test': { ...content, text: '{{ other }}' } } },
        ['/contents/sms-test/text'],
      ],
      [{ contents: { 'sms-test': { ...content, text: '{% if' } } }, ['/contents/sms-test/text']],
    ];
    for (const [change, expected] of bad) {
      const answer = await call('POST', '/v1/templates', {
        body: { ...template('bad'), ...change },
      });
      assert.deepEqual([answer.status, pointers(answer)], [422, expected]);
    }
    const made = await call('POST', '/v1/templates', { body: template('fixed-name') });
    const renamed = await call('PUT', `/v1/templates/${String(made.body['id'])}`, {
      body: template('another-name'),
      ifMatch: '"1"',
    });
    assert.deepEqual([renamed.status, pointers(renamed)], [422, ['/name']]);
  });

  it('pages through a list, and refuses a cursor it did not give', async () => {
    for (const number of [1, 2, 3, 4, 5])
      await call('POST', '/v1/tenants', { body: { id: `page-${number}`, name: 'P' } });
    await call('POST', '/v1/tenants', { body: { id: 'zz', name: 'Z' } });
    const seen: unknown[] = [];
    let cursor: string | undefined;
    do {
      const suffix = cursor === undefined ? '' : `&cursor=${cursor}`;
      const { body } = await call('GET', `/v1/tenants?limit=2${suffix}`);
      seen.push(...(body.items ?? []).map((tenant) => tenant['id']));
      cursor = body['nextCursor'] as string | undefined;
    } while (cursor !== undefined);
    assert.deepEqual(seen, ['demo', 'page-1', 'page-2', 'page-3', 'page-4', 'page-5', 'zz']);
    for (const [query, expected] of [
      ['cursor=abc', 'query/cursor'],
      ['limit=0', 'query/limit'],
      ['limit=x', 'query/limit'],
      ['colour=1', 'query/colour'],
    ] as const) {
      const answer = await call('GET', `/v1/tenants?${query}`);
      assert.deepEqual([answer.status, pointers(answer)], [422, [expected]]);
    }
    const unknown = await call('GET', '/v1/templates?tenantId=nobody');
    assert.deepEqual([unknown.status, pointers(unknown)], [422, ['query/tenantId']]);
  });

  it('verifies an account at its provider', async () => {
    const made = await call('POST', '/v1/channel-accounts', { body: account('verified') });
    const path = `/v1/channel-accounts/${String(made.body['id'])}/verify`;
    const good = await call('POST', path);
    assert.deepEqual([good.status, good.body['works']], [200, true]);
    verdict = { class: 'auth-invalid', providerCode: 'isv.DENIED', providerMessage: 'no' };
    const { body } = await call('POST', path);
    assert.deepEqual([body['works'], body['outcome']], [false, verdict]);
    assert.equal(closedClients, 2);
    assert.equal((await call('POST', '/v1/channel-accounts/acc_none/verify')).status, 404);
  });

  it('previews a template without storing it', async () => {
    const edit = template('preview');
    const body = { template: edit, variables: { code: '12 < 34' } };
    const shown = await call('POST', '/v1/templates/preview', { body });
    const text = '您的验证码是 12 < 34 🔐';
    assert.deepEqual(shown.body, {
      contents: { 'sms-test': { content: { signName: '阿里云', text }, text, faults: [] } },
      findings: [],
      sizes: {},
    });
    const unfit = await call('POST', '/v1/templates/preview', {
      body: { template: edit, variables: { code: 'much too long' } },
    });
    assert.deepEqual([unfit.status, pointers(unfit)], [422, ['/variables/code']]);
    const sampled = await call('POST', '/v1/templates/preview', {
      body: { template: { ...edit, variables: { ...edit.variables, spare: { type: 'number' } } } },
    });
    assert.deepEqual(sampled.body['findings'], [
      {
        level: 'warning',
        pointer: '/variables/spare',
        code: 'variable-unused',
        detail: 'is used nowhere',
      },
    ]);
    assert.equal((await store.templates.list('demo', { limit: 5, name: 'preview' })).length, 0);
  });

  it('gives and takes API keys', async () => {
    const path = '/v1/tenants/demo/api-keys';
    const made = await call('POST', path, { body: { name: 'shop' } });
    assert.equal(made.status, 201);
    const key = String(made.body['key']);
    assert.equal((await store.apiKeys.findByKey(key))?.tenantId, 'demo');
    const listed = await call('GET', path);
    assert.equal(listed.body.items?.length, 1);
    assert.ok(!JSON.stringify(listed.body).includes(key));
    assert.ok(lines.every((line) => !line.includes(key)));
    const revoke = `${path}/${String(made.body['id'])}`;
    assert.equal((await call('DELETE', revoke)).status, 204);
    assert.equal((await call('DELETE', revoke)).status, 404);
    assert.equal(await store.apiKeys.findByKey(key), undefined);
    assert.equal(
      (await call('POST', '/v1/tenants/no/api-keys', { body: { name: 'x' } })).status,
      404,
    );
  });

  it('edits the policy of a tenant from version 1 on, and names every faulty field', async () => {
    const path = '/v1/tenants/demo/policy';
    const first = await call('GET', path);
    assert.deepEqual(
      [first.status, first.headers.get('etag'), first.body],
      [200, '"1"', { timeZone: 'Asia/Shanghai', weight: 1, version: 1 }],
    );
    const good = { timeZone: 'Asia/Shanghai' };
    const night = { from: '22:00', to: '08:00', kinds: ['marketing'] };
    const cap = { kinds: ['marketing'], count: 3, windowSeconds: 86_400 };
    const bad: [change: object, pointers: string[]][] = [
      [{ timeZone: 'Asia/Atlantis' }, ['/timeZone']],
      [{ timeZone: undefined }, ['/timeZone']],
      [{ quietHours: { ...night, to: '22:00' } }, ['/quietHours/to']],
      [{ quietHours: { ...night, from: '24:00' } }, ['/quietHours/from']],
      [{ quietHours: { ...night, kinds: ['otp'] } }, ['/quietHours/kinds/0']],
      [{ quietHours: { ...night, kinds: [] } }, ['/quietHours/kinds']],
      [{ frequencyCaps: [cap, { ...cap, count: 0 }] }, ['/frequencyCaps/1/count']],
      [{ frequencyCaps: [{ ...cap, kinds: ['otp'] }] }, ['/frequencyCaps/0/kinds/0']],
      [{ frequencyCaps: [{ ...cap, windowSeconds: 1 }] }, ['/frequencyCaps/0/windowSeconds']],
      [{ weight: 0 }, ['/weight']],
      [{ weight: 1001 }, ['/weight']],
      [{ colour: 'red' }, ['/colour']],
    ];
    for (const [change, expected] of bad) {
      const answer = await call('PUT', path, { body: { ...good, ...change }, ifMatch: '"1"' });
      assert.deepEqual([answer.status, pointers(answer)], [422, expected]);
    }
    const body = { ...good, quietHours: night, frequencyCaps: [cap], weight: 2.5 };
    assert.equal((await call('PUT', path, { body })).status, 428);
    const put = await call('PUT', path, { body, ifMatch: '"1"' });
    assert.deepEqual([put.status, put.body], [200, { ...body, version: 2 }]);
    assert.equal((await call('PUT', path, { body, ifMatch: '"1"' })).status, 412);
    assert.deepEqual((await call('GET', path)).body, put.body);
    const nobody = '/v1/tenants/nobody/policy';
    assert.equal((await call('GET', nobody)).status, 404);
    assert.equal((await call('PUT', nobody, { body: good, ifMatch: '"1"' })).status, 404);
  });

  it('writes one line per edit', () => {
    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const edits = events.filter((event) => event['name'] === 'life' && 'accountId' in event);
    assert.deepEqual(
      edits.map((event) => event['msg']),
      ['created', 'edited', 'deleted', 'created'].map((done) => `channel-account.${done}`),
    );
  });

  it('does not quote a body that is not JSON', async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}/v1/channel-accounts`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: `{"secrets":{"accessKeySecret":${secret}}}`,
    });
    const text = await response.text();
    assert.equal(response.status, 400);
    assert.ok(!text.includes(secret.slice(0, 6)), text);
  });

  it('never shows a secret, in no answer and no line', () => {
    assert.ok(answers.length > 60 && lines.length > 10);
    for (const text of [...answers, ...lines]) assert.ok(!text.includes(secret), text);
  });

  it('takes a redrive up, shows how far it has come, and cancels it', async () => {
    const body = { tenantId: 'demo', filter: {}, ratePerSecond: 5, reason: 'mended' };
    const made = await call('POST', '/v1/redrives', { body });
    assert.equal(made.status, 202, JSON.stringify(made.body));
    const location = made.headers.get('location') ?? '';
    const { tenantId, filter, ratePerSecond, reason, state, found } = made.body;
    assert.deepEqual({ tenantId, filter, ratePerSecond, reason }, body);
    assert.deepEqual([state, found], ['running', 0]);
    assert.deepEqual((await call('GET', location)).body, made.body);
    const listed = await call('GET', '/v1/redrives?state=running&limit=1');
    assert.deepEqual(listed.body.items, [made.body]);
    assert.equal((await call('POST', `${location}/cancel`)).body['state'], 'cancelled');
    assert.equal((await call('POST', `${location}/cancel`)).status, 200);
    for (const [method, path] of [
      ['GET', '/v1/redrives/rdr_none'],
      ['POST', '/v1/redrives/rdr_none/cancel'],
    ] as const)
      assert.equal((await call(method, path)).status, 404);
  });

  it('names the field of a redrive that cannot be', async () => {
    const { body: mine } = await call('GET', '/v1/channel-accounts?limit=1');
    const accountId = mine.items?.[0]?.['id'];
    await store.tenants.ensure('elsewhere', 'Elsewhere');
    const ids = ['msg_00000000000000000000000000'];
    const acceptedFrom = '2026-11-21T00:00:00Z';
    for (const [body, pointer] of [
      [{}, '/filter'],
      [{ ids, filter: {} }, '/filter'],
      [{ ids: [] }, '/ids'],
      [{ ids: ['msg_x'] }, '/ids/0'],
      [{ ids: [...ids, ...ids] }, '/ids'],
      [{ filter: {}, ratePerSecond: 0 }, '/ratePerSecond'],
      [{ filter: {}, ratePerSecond: 1001 }, '/ratePerSecond'],
      [{ filter: {}, reason: ' ' }, '/reason'],
      [{ filter: {}, expiresIn: 9 }, '/expiresIn'],
      [{ filter: { status: ['sent'] } }, '/filter/status/0'],
      [{ filter: { status: [] } }, '/filter/status'],
      [{ filter: { acceptedFrom, acceptedTo: acceptedFrom } }, '/filter/acceptedTo'],
      [{ filter: { acceptedFrom: 'yesterday' } }, '/filter/acceptedFrom'],
      [{ filter: { accountId: 'acc_none' } }, '/filter/accountId'],
      [{ tenantId: 'elsewhere', filter: { accountId } }, '/filter/accountId'],
      [{ tenantId: 'nobody', filter: {} }, '/tenantId'],
    ] as const) {
      const answer = await call('POST', '/v1/redrives', {
        body: { ratePerSecond: 5, reason: 'x', ...body },
      });
      assert.equal(answer.status, 422, JSON.stringify([body, answer.body]));
      assert.deepEqual(pointers(answer), [pointer], JSON.stringify(body));
    }
    assert.deepEqual(pointers(await call('GET', '/v1/redrives?state=x')), ['query/state']);
  });

  it('shows the batches of every tenant, and a stop is seen on them', async () => {
    const { id } = await store.batches.create('demo', { template: 'life', name: 'Spring' });
    const upload = await store.batches.beginUpload('demo', id);
    const members = [{ line: 2, to: { phone: '13900001111' }, variables: {} }];
    await store.batches.addBlock(upload, { number: 0, firstIndex: 0, members });
    await store.batches.finishUpload(upload, { members: 1, faults: 0 });
    await store.batches.start('demo', id, {});
    const listed = await call('GET', '/v1/batches?tenantId=demo');
    assert.deepEqual(
      listed.body.items?.map((item) => [item['id'], item['state'], item['total']]),
      [[id, 'running', 1]],
    );
    const scope = { kind: 'batch', value: id };
    const pause = { action: 'pause', scope, reason: 'test' };
    assert.equal((await call('POST', '/v1/stops', { body: pause })).status, 201);
    assert.equal((await call('GET', `/v1/batches/${id}`)).body['state'], 'paused');
    assert.equal((await call('GET', '/v1/batches/bat_none')).status, 404);
    assert.deepEqual(pointers(await call('GET', '/v1/batches?tenantId=nobody')), [
      'query/tenantId',
    ]);
  });

  it('describes itself without any server', () => {
    const { paths } = adminOpenapi() as { paths: Record<string, object> };
    assert.deepEqual(Object.keys(paths).toSorted(), [
      '/v1/audit',
      '/v1/audit/export',
      '/v1/batches',
      '/v1/batches/{id}',
      '/v1/channel-accounts',
      '/v1/channel-accounts/{id}',
      '/v1/channel-accounts/{id}/health',
      '/v1/channel-accounts/{id}/verify',
      '/v1/circuits',
      '/v1/circuits/{accountId}',
      '/v1/connectors',
      '/v1/dead-letters',
      '/v1/me',
      '/v1/me/password',
      '/v1/me/tokens',
      '/v1/me/tokens/{id}',
      '/v1/messages',
      '/v1/messages/counts',
      '/v1/messages/export',
      '/v1/messages/sql',
      '/v1/messages/{id}/explain',
      '/v1/oidc/callback',
      '/v1/oidc/start',
      '/v1/redrives',
      '/v1/redrives/{id}',
      '/v1/redrives/{id}/cancel',
      '/v1/secrets',
      '/v1/secrets/rewrap',
      '/v1/sessions',
      '/v1/sessions/current',
      '/v1/stops',
      '/v1/stops/{id}/resume',
      '/v1/template-versions',
      '/v1/templates',
      '/v1/templates/export',
      '/v1/templates/import',
      '/v1/templates/lint',
      '/v1/templates/preview',
      '/v1/templates/{id}',
      '/v1/templates/{id}/rollback',
      '/v1/templates/{id}/versions',
      '/v1/templates/{id}/versions/{a}/diff/{b}',
      '/v1/templates/{id}/versions/{version}',
      '/v1/templates/{id}/versions/{version}/approve',
      '/v1/templates/{id}/versions/{version}/publish',
      '/v1/templates/{id}/versions/{version}/reject',
      '/v1/templates/{id}/versions/{version}/replay',
      '/v1/templates/{id}/versions/{version}/submit',
      '/v1/templates/{id}/versions/{version}/test',
      '/v1/tenants',
      '/v1/tenants/{id}/api-keys',
      '/v1/tenants/{id}/api-keys/{keyId}',
      '/v1/tenants/{id}/policy',
      '/v1/tenants/{id}/quotas',
      '/v1/tenants/{id}/result-topic',
      '/v1/users',
      '/v1/users/{id}',
      '/v1/webhook-endpoints',
      '/v1/webhook-endpoints/{id}/disable',
      '/v1/webhook-endpoints/{id}/enable',
    ]);
  });
});
