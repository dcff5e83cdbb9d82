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
  name: 'sms-test',
  channel: 'sms',
  addressKinds: ['phone'],
  capabilities: {
    dedupe: { by: 'none' },
    receipts: 'none',
    canReconcile: false,
    reconcileAfterMs: 0,
    recallWithinMs: 0,
    askReceiptsAfterMs: [],
    callTimeoutMs: 1000,
    attemptBudget: 3,
    recipientWindows: { otp: [], notice: [], marketing: [] },
  },
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
  contentText: (content) => (content as { text: string }).text,
  addressFault: () => undefined,
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
      warnings: [],
    });
    const unfit = await call('POST', '/v1/templates/preview', {
      body: { template: edit, variables: { code: 'much too long' } },
    });
    assert.deepEqual([unfit.status, pointers(unfit)], [422, ['/variables/code']]);
    const sampled = await call('POST', '/v1/templates/preview', {
      body: { template: { ...edit, variables: { ...edit.variables, spare: { type: 'number' } } } },
    });
    assert.deepEqual(sampled.body['warnings'], [
      { pointer: '/variables/spare', detail: 'is used nowhere' },
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

  it('describes itself without any server', () => {
    const { paths } = adminOpenapi() as { paths: Record<string, object> };
    assert.deepEqual(Object.keys(paths).toSorted(), [
      '/v1/channel-accounts',
      '/v1/channel-accounts/{id}',
      '/v1/channel-accounts/{id}/verify',
      '/v1/circuits',
      '/v1/circuits/{accountId}',
      '/v1/connectors',
      '/v1/templates',
      '/v1/templates/preview',
      '/v1/templates/{id}',
      '/v1/tenants',
      '/v1/tenants/{id}/api-keys',
      '/v1/tenants/{id}/api-keys/{keyId}',
    ]);
  });
});
