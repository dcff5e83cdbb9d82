import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { roles, type Role } from '../contracts/users.ts';
import type { Route } from '../platform/http.ts';
import { pointersOf, problemOf, serveAdmin } from '../tests/admin-app.ts';
import type { Administrator } from './deps.ts';
import { codecOperations } from './codec-server.ts';
import { permissions } from './permissions.ts';
import { permitRole } from './permit.ts';
import { adminRoutes } from './server.ts';

const { call, signIn, store, deps } = await serveAdmin([]);
const routes = adminRoutes(deps);

/** What a role may do beyond reading, by what people are promised. */
const changes: Record<Role, readonly string[]> = {
  viewer: ['previewTemplate', 'lintTemplate', 'queryMessages', 'replayTemplateVersion'],
  operator: [
    'verifyChannelAccount',
    'closeCircuit',
    'createStop',
    'resumeStop',
    'createRedrive',
    'cancelRedrive',
    'enableWebhookEndpoint',
    'disableWebhookEndpoint',
  ],
  editor: [
    'createTemplate',
    'replaceTemplate',
    'deleteTemplate',
    'importTemplates',
    'draftTemplateVersion',
    'editTemplateVersion',
    'discardTemplateVersion',
    'submitTemplateVersion',
    'publishTemplateVersion',
    'testTemplateVersion',
  ],
  approver: ['approveTemplateVersion', 'rejectTemplateVersion', 'rollbackTemplate'],
  administrator: [
    'createApiKey',
    'revokeApiKey',
    'putTenantPolicy',
    'putTenantQuotas',
    'putTenantResultTopic',
    'createChannelAccount',
    'replaceChannelAccount',
    'deleteChannelAccount',
    'createUser',
    'replaceUser',
    'deleteUser',
  ],
};
const ofEverybody = [
  'createSession',
  'deleteCurrentSession',
  'changePassword',
  'createToken',
  'revokeToken',
];
const ofAdministratorsAlone = ['listUsers', 'getUser'];

function isAllowed(role: Role, { method, operationId }: Route<Administrator>): boolean {
  if (ofEverybody.includes(operationId) || changes.viewer.includes(operationId)) return true;
  if (role === 'administrator')
    return Object.values(changes).flat().includes(operationId) || method === 'get';
  if (ofAdministratorsAlone.includes(operationId)) return false;
  return method === 'get' || changes[role].includes(operationId);
}

/** What two tenants have; nothing of the one is to be seen by the other. */
type Things = Record<string, string>;
const openCircuit = (tenantId: string, accountId = '') =>
  store.circuits.open({
    accountId,
    tenantId,
    reason: { code: 'auth-invalid', detail: 'no' },
    nowMs: Date.now(),
  });
async function furnish(tenantId: string): Promise<Things> {
  await store.tenants.create(tenantId, `Tenant ${tenantId}`);
  const account = await store.channelAccounts.create({
    tenantId,
    channel: 'sms',
    edit: { name: 'sms', connector: 'sms-test', settings: {}, ratePerSecond: 1 },
  });
  const template = await store.templates.create(tenantId, {
    name: 'hello',
    kind: 'notice',
    variables: {},
    contents: { 'sms-test': { text: 'hello' } },
  });
  const scope = { kind: 'batch' as const, value: 'spring' };
  const stop = await store.stops.create({ action: 'pause', scope, tenantId, reason: 'why' });
  const redrive = await store.redrives.create({
    tenantId,
    filter: {},
    ratePerSecond: 1,
    reason: 'why',
  });
  const key = await store.apiKeys.create(tenantId, { name: 'service' });
  await openCircuit(tenantId, account.id);
  const { user } = await signIn(`somebody.${tenantId}`, [{ role: 'viewer', tenantId }]);
  const { endpoint } = await store.webhookEndpoints.create(tenantId, {
    url: 'https://receiver.example/',
    statuses: ['failed'],
  });
  const batch = await store.batches.create(tenantId, { template: 'hello' });
  return {
    'webhook-endpoints': endpoint.id,
    batches: batch.id,
    messages: `message-of-${tenantId}`,
    'channel-accounts': account.id,
    circuits: account.id,
    templates: template.id,
    stops: stop.id,
    redrives: redrive.id,
    tenants: tenantId,
    users: user.id,
    keyId: key.id,
  };
}

/** The address of a route with ids in it. */
function address({ path }: Route<Administrator>, things: Things): string {
  const [, kind = ''] = /^\/v1\/([^/]+)/.exec(path) ?? [];
  return path
    .replace(':keyId', things['keyId'] ?? '')
    .replace(/:(version|a|b)\b/g, '1')
    .replace(/:(id|accountId)/, things[kind] ?? 'none');
}

const alpha = await furnish('alpha');
const beta = await furnish('beta');

describe('the table of permissions', () => {
  it('has every operation of the API, and no other', () => {
    assert.deepEqual(
      Object.keys(permissions).toSorted(),
      [
        ...routes.map(({ operationId }) => operationId),
        ...Object.values(codecOperations),
      ].toSorted(),
    );
  });

  it('leaves what it does not have to the administrator of all tenants', () => {
    const entry = { ...routes[0], operationId: 'toString' } as Route<Administrator>;
    const holder = (role: Role, tenantId: string) => ({
      id: 'u',
      name: 'u',
      grants: [{ role, tenantId }],
    });
    for (const role of roles) {
      assert.throws(() => permitRole(entry, holder(role, 'alpha')), /administrator in all tenants/);
      if (role !== 'administrator')
        assert.throws(() => permitRole(entry, holder(role, '*')), /administrator in all tenants/);
    }
    assert.doesNotThrow(() => permitRole(entry, holder('administrator', '*')));
  });
});

describe('roles', () => {
  for (const role of roles)
    for (const tenantId of ['alpha', '*'])
      it(`${role} of ${tenantId}: every route is open or refused as promised`, async () => {
        const { token } = await signIn(`${role}.${tenantId === '*' ? 'all' : tenantId}`, [
          { role, tenantId },
        ]);
        const signOut = (entry: Route<Administrator>) =>
          Number(entry.operationId === 'deleteCurrentSession');
        for (const entry of routes.toSorted((a, b) => signOut(a) - signOut(b))) {
          const { operationId, method } = entry;
          // Without If-Match and with an empty body nothing is changed that the next role needs.
          const answer = await call(method.toUpperCase(), address(entry, alpha), {
            token,
            ...(entry.body !== undefined && { body: {} }),
          });
          const isRefused = answer.status === 403 && /role/.test(answer.text);
          const expected =
            permissions[operationId]?.tenant.in === 'installation'
              ? role === 'administrator' && tenantId === '*'
              : isAllowed(role, entry);
          assert.equal(!isRefused, expected, `${operationId}: ${answer.status} ${answer.text}`);
          assert.ok(
            (answer.status < 500 && answer.status !== 401) || operationId === 'createSession',
            `${operationId}: ${answer.status}`,
          );
        }
      });

  it('without any grant: nothing but oneself', async () => {
    const { token } = await signIn('nobody', []);
    for (const entry of routes.filter(({ operationId }) => permissions[operationId]?.role)) {
      const answer = await call(entry.method.toUpperCase(), address(entry, alpha), {
        token,
        ...(entry.body !== undefined && { body: {} }),
      });
      assert.equal(answer.status, 403, `${entry.operationId}: ${answer.text}`);
      assert.match(
        String(answer.body['detail']),
        /role (viewer|operator|editor|approver|administrator)/,
      );
    }
    assert.equal((await call('GET', '/v1/me', { token })).status, 200);
  });
});

const { token } = await signIn('head.of.alpha', [{ role: 'administrator', tenantId: 'alpha' }]);

describe('another tenant', () => {
  // First: what a caller asked for in vain is in its own audit log later.
  it('is in no list, and cannot be asked for', async () => {
    const hidden = Object.values(beta);
    for (const entry of routes.filter(
      ({ path, method, auth, operationId }) =>
        method === 'get' &&
        !path.includes(':') &&
        auth !== 'none' &&
        permissions[operationId]?.tenant.in !== 'installation',
    )) {
      const answer = await call('GET', entry.path, { token });
      assert.equal(answer.status, 200, `${entry.operationId}: ${answer.text}`);
      for (const id of hidden)
        assert.ok(!answer.text.includes(id), `${entry.operationId} shows ${id}`);
      if (permissions[entry.operationId]?.tenant.in !== 'query') continue;
      const asked = await call('GET', `${entry.path}?tenantId=beta`, { token });
      const unknown = await call('GET', `${entry.path}?tenantId=no`, { token });
      assert.deepEqual([asked.status, pointersOf(asked)], [422, ['query/tenantId']]);
      assert.equal(asked.body['detail'], String(unknown.body['detail']).replace('"no"', '"beta"'));
    }
    const tenants = await call('GET', '/v1/tenants', { token });
    assert.deepEqual(
      tenants.body.items?.map(({ id }) => id),
      ['alpha'],
    );
    await openCircuit('alpha', alpha['circuits']);
    const circuits = await call('GET', '/v1/circuits', { token });
    assert.deepEqual(
      circuits.body.items?.map(({ tenantId }) => tenantId),
      ['alpha'],
    );
  });

  it("'s things answer like things that there are none of, by every route", async () => {
    const made: Things = Object.fromEntries(Object.keys(beta).map((kind) => [kind, 'made-up']));
    const ofTenants = routes.filter(
      ({ path, operationId }) =>
        /:(id|accountId)/.test(path) && permissions[operationId]?.tenant.in !== 'nothing',
    );
    assert.ok(ofTenants.length > 15);
    for (const entry of ofTenants) {
      const ask = (things: Things) =>
        call(entry.method.toUpperCase(), address(entry, things), {
          token,
          ifMatch: '"1"',
          ...(entry.body !== undefined && { body: bodies[entry.operationId] }),
        });
      const theirs = await ask(beta);
      const none = await ask(made);
      assert.equal(theirs.status, 404, `${entry.operationId}: ${theirs.status} ${theirs.text}`);
      const shape = ({ body }: typeof theirs, id: string) => [
        body['type'],
        String(body['detail']).replace(id, '…'),
      ];
      const [, kind = ''] = /^\/v1\/([^/]+)/.exec(entry.path) ?? [];
      assert.deepEqual(shape(theirs, beta[kind] ?? ''), shape(none, 'made-up'), entry.operationId);
    }
  });

  it('takes nothing that is made', async () => {
    for (const entry of routes.filter(
      ({ operationId }) => permissions[operationId]?.tenant.in === 'body',
    )) {
      const body = { ...(bodies[entry.operationId] as object), tenantId: 'beta' };
      const answer = await call('POST', entry.path, { token, body });
      assert.deepEqual([answer.status, pointersOf(answer)], [422, ['/tenantId']], answer.text);
    }
    const stop = (kind: string, value: string) => ({
      action: 'pause',
      scope: { kind, value },
      reason: 'x',
    });
    for (const [path, body, pointer] of [
      ['/v1/stops', stop('tenant', 'beta'), '/scope/value'],
      ['/v1/stops', stop('account', beta['circuits'] ?? ''), '/scope/value'],
      [
        '/v1/redrives',
        { filter: { accountId: beta['circuits'] }, ratePerSecond: 1, reason: 'x' },
        '/filter/accountId',
      ],
    ] as const) {
      const answer = await call('POST', path, { token, body });
      assert.deepEqual([answer.status, pointersOf(answer)], [422, [pointer]], answer.text);
    }
    assert.equal((await store.stops.list({ tenantId: 'beta', limit: 9 })).length, 1);
  });

  it("is not touched where no tenant is given: the caller's own is meant", async () => {
    const made = await call('POST', '/v1/redrives', {
      token,
      body: { filter: {}, ratePerSecond: 1, reason: 'x' },
    });
    assert.deepEqual([made.status, made.body['tenantId']], [202, 'alpha']);
    const both = await signIn('both', [
      { role: 'operator', tenantId: 'alpha' },
      { role: 'operator', tenantId: 'beta' },
    ]);
    const unclear = await call('GET', '/v1/stops', { token: both.token });
    assert.deepEqual([unclear.status, pointersOf(unclear)], [422, ['query/tenantId']]);
    const clear = await call('GET', '/v1/stops?tenantId=beta', { token: both.token });
    assert.deepEqual(
      clear.body.items?.map(({ id }) => id),
      [beta['stops']],
    );
  });

  it('may be read by who has a role there, and names the role that is missing', async () => {
    const mixed = await signIn('mixed', [
      { role: 'operator', tenantId: 'alpha' },
      { role: 'viewer', tenantId: 'beta' },
    ]);
    const path = `/v1/redrives/${beta['redrives']}`;
    assert.equal((await call('GET', path, { token: mixed.token })).status, 200);
    const refused = await call('POST', `${path}/cancel`, { token: mixed.token });
    assert.deepEqual([refused.status, problemOf(refused)], [403, 'forbidden']);
    assert.match(String(refused.body['detail']), /role operator in tenant "beta"/);
    const everywhere = await store.redrives.create({ filter: {}, ratePerSecond: 1, reason: 'all' });
    const reader = await signIn('reader', [
      { role: 'viewer', tenantId: '*' },
      { role: 'operator', tenantId: 'alpha' },
    ]);
    const all = `/v1/redrives/${everywhere.id}`;
    assert.equal((await call('GET', all, { token: reader.token })).status, 200);
    assert.equal((await call('POST', `${all}/cancel`, { token: reader.token })).status, 403);
    assert.equal((await call('GET', all, { token: mixed.token })).status, 404);
  });

  it('may move a template there of which nothing was published yet, and nobody else sees it', async () => {
    const { token } = await signIn('writer', [{ role: 'editor', tenantId: 'alpha' }]);
    const stranger = await signIn('stranger', [{ role: 'editor', tenantId: 'beta' }]);
    const edit = {
      name: 'never-published',
      kind: 'notice' as const,
      variables: {},
      contents: { 'sms-test': { text: 'hello' } },
    };
    const { templateId } = await store.templateVersions.createTemplate('alpha', edit, 'writer');
    const path = `/v1/templates/${templateId}/versions/1`;
    assert.equal((await call('GET', path, { token })).status, 200);
    assert.equal((await call('GET', path, { token: stranger.token })).status, 404);
    const discarded = await call('DELETE', path, { token, ifMatch: '"1"' });
    assert.equal(discarded.status, 204, discarded.text);
  });
});

/** A body that its route takes. */
const policy = { timeZone: 'Asia/Shanghai' };
const account = { name: 'a', connector: 'sms-test', settings: {}, ratePerSecond: 1 };
const template = { name: 'hello', kind: 'notice', variables: {}, contents: { 'sms-test': {} } };
const bodies: Record<string, unknown> = {
  replayTemplateVersion: {
    filter: { from: '2026-11-21T08:00:00Z', until: '2026-11-21T09:00:00Z' },
  },
  createApiKey: { name: 'key' },
  putTenantPolicy: policy,
  createChannelAccount: account,
  replaceChannelAccount: account,
  createTemplate: template,
  replaceTemplate: template,
  createStop: { action: 'pause', scope: { kind: 'batch', value: 'b' }, reason: 'x' },
  createRedrive: { filter: {}, ratePerSecond: 1, reason: 'x' },
  replaceUser: { name: 'n', grants: [] },
  putTenantQuotas: {},
  putTenantResultTopic: { isEnabled: true },
  draftTemplateVersion: template,
  editTemplateVersion: template,
  rejectTemplateVersion: { comment: 'no' },
  rollbackTemplate: { version: 1 },
  testTemplateVersion: { accountId: 'acc_0', to: { phone: '13800000000' } },
  disableWebhookEndpoint: { reason: 'x' },
};
