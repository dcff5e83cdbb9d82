import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { pointersOf, problemOf, serveAdmin, type AdminAnswer } from '../tests/admin-app.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const secret = 'never-to-be-seen-again';
const password = 'correct horse battery';
let whileVerifying: () => Promise<unknown> = async () => undefined;
const verdict: SendOutcome = { class: 'accepted', providerId: 'p' };
const connector: Connector = {
  ...plainConnector,
  secretsSchema: Type.Object({ accessKeySecret: Type.String() }),
  createClient: () => ({
    send: async () => verdict,
    verify: async () => {
      await whileVerifying();
      return verdict;
    },
    close: async () => undefined,
  }),
};

const { call, signIn, store, mysqlUrl } = await serveAdmin([connector]);
const account = (tenantId?: string) => ({
  ...(tenantId !== undefined && { tenantId }),
  name: 'sms',
  connector: 'sms-test',
  settings: {},
  secrets: { accessKeySecret: secret },
  ratePerSecond: 20,
});
const template = (tenantId: string, name: string) => ({
  tenantId,
  name,
  kind: 'notice',
  variables: {},
  contents: { 'sms-test': { text: 'hello' } },
});

type Entry = Record<string, unknown>;
async function search(query: string, token?: string): Promise<Entry[]> {
  const answer = await call('GET', `/v1/audit?${query}`, token === undefined ? {} : { token });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.items ?? [];
}
async function last(query: string): Promise<Entry> {
  const [entry] = await search(query);
  assert.ok(entry !== undefined, `nothing for ${query}`);
  return entry;
}
const idOf = ({ body }: AdminAnswer) => String(body['id']);

before(async () => {
  for (const id of ['alpha', 'beta']) await store.tenants.create(id, id);
});

describe('the audit log', () => {
  it('tells of a change who, what, where, before and after, and no secret', async () => {
    const { user, token } = await signIn('head', [{ role: 'administrator', tenantId: 'alpha' }]);
    const actor = { id: user.id, name: user.name };
    const made = await call('POST', '/v1/channel-accounts', { token, body: account() });
    const target = { type: 'channel-account', id: idOf(made) };
    const at = `/v1/channel-accounts/${target.id}`;
    const { tenantId, ...edit } = { ...account(), tenantId: '', ratePerSecond: 30 };
    const changed = await call('PUT', at, { token, body: edit, ifMatch: '"1"' });
    assert.equal(changed.status, 200, changed.text + tenantId);
    await call('DELETE', at, { token, ifMatch: '"2"' });

    const entries = await search(`tenantId=alpha&target=${target.id}`);
    assert.deepEqual(
      entries.map(({ at: _at, id: _id, ...entry }) => entry),
      [
        {
          actor,
          operationId: 'deleteChannelAccount',
          tenantId: 'alpha',
          target,
          before: changed.body,
          requestId: entries[0]?.['requestId'],
          status: 204,
        },
        {
          actor,
          operationId: 'replaceChannelAccount',
          tenantId: 'alpha',
          target,
          before: made.body,
          after: changed.body,
          requestId: changed.headers.get('x-request-id'),
          status: 200,
        },
        {
          actor,
          operationId: 'createChannelAccount',
          tenantId: 'alpha',
          target,
          after: made.body,
          requestId: made.headers.get('x-request-id'),
          status: 201,
        },
      ],
    );
  });

  it('is written before the change runs', async () => {
    const made = await call('POST', '/v1/channel-accounts', { body: account('beta') });
    let seen: Entry | undefined;
    whileVerifying = async () => {
      [seen] = await search('operation=verifyChannelAccount');
    };
    const verified = await call('POST', `/v1/channel-accounts/${idOf(made)}/verify`);
    whileVerifying = async () => undefined;
    assert.deepEqual([seen?.['status'], seen?.['before']], [undefined, made.body]);
    const entry = await last('operation=verifyChannelAccount');
    assert.deepEqual(
      [entry['id'], entry['status'], entry['after']],
      [seen?.['id'], 200, verified.body],
    );
  });

  it('tells of a change that failed', async () => {
    const [made, taken] = [
      await call('POST', '/v1/templates', { body: template('alpha', 'twice') }),
      await call('POST', '/v1/templates', { body: template('alpha', 'twice') }),
    ];
    assert.deepEqual([made.status, taken.status], [201, 409]);
    const entry = await last('operation=createTemplate');
    assert.deepEqual([entry['status'], entry['problem']], [409, 'name-taken']);
    const none = await call('DELETE', '/v1/templates/tpl_none', { ifMatch: '"1"' });
    assert.equal(none.status, 404);
    assert.equal((await last('target=tpl_none'))['problem'], 'not-found');
  });

  it('keeps what is refused, reads too', async () => {
    const { user, token } = await signIn('viewer', [{ role: 'viewer', tenantId: 'alpha' }]);
    const made = await call('POST', '/v1/templates', { body: template('alpha', 'guarded') });
    const refused = await call('DELETE', `/v1/templates/${idOf(made)}`, { token, ifMatch: '"1"' });
    assert.deepEqual([refused.status, problemOf(refused)], [403, 'forbidden']);
    assert.equal((await call('GET', '/v1/users', { token })).status, 403);
    const entries = await search(`actor=${user.id}&tenantId=alpha`);
    assert.deepEqual(
      entries.map(({ operationId, status, problem }) => [operationId, status, problem]),
      [
        ['listUsers', 403, 'forbidden'],
        ['deleteTemplate', 403, 'forbidden'],
      ],
    );
    assert.deepEqual(entries[1]?.['target'], { type: 'template', id: idOf(made) });
  });

  it('keeps logins, right and wrong, by the user and never by what was typed', async () => {
    const body = { login: 'li.lei', name: 'Li Lei', password, grants: [] };
    const user = await call('POST', '/v1/users', { body });
    const signIn = (given: string, login = 'li.lei') =>
      call('POST', '/v1/sessions', { token: '', body: { login, password: given } });
    await signIn('wrong horse battery');
    await signIn(password);
    await signIn(password, 'unknown.login');
    const entries = await search('operation=createSession');
    assert.deepEqual(
      entries.map(({ actor, status, target }) => [actor, status, target]),
      [
        [undefined, 401, { type: 'user' }],
        [undefined, 201, { type: 'user', id: idOf(user) }],
        [undefined, 401, { type: 'user', id: idOf(user) }],
      ],
    );
    assert.ok(!JSON.stringify(entries).includes('unknown.login'));
  });

  it('shows each tenant its own entries', async () => {
    const { token } = await signIn('reader', [{ role: 'viewer', tenantId: 'beta' }]);
    const seen = await search('limit=200', token);
    assert.ok(seen.length > 0);
    assert.deepEqual([...new Set(seen.map(({ tenantId }) => tenantId))], ['beta']);
    const foreign = await call('GET', '/v1/audit?tenantId=alpha', { token });
    assert.deepEqual([foreign.status, pointersOf(foreign)], [422, ['query/tenantId']]);
    const lines = await call('GET', '/v1/audit/export', { token });
    assert.ok(lines.text.includes('"beta"') && !lines.text.includes('"alpha"'));
  });

  it('is searched by time and kind, in pages, and names a bad filter', async () => {
    const entries = await search('limit=200');
    const middle = String(entries[3]?.['at']);
    const until = await search(`limit=200&to=${middle}`);
    const since = await search(`limit=200&from=${middle}`);
    assert.equal(until.length + since.length, entries.length);
    assert.ok(until.length > 0 && since.length > 3);
    const kind = await search('targetType=template&limit=200');
    assert.ok(kind.length > 2);
    assert.deepEqual(
      kind,
      entries.filter((entry) => (entry['target'] as Entry | undefined)?.['type'] === 'template'),
    );
    const first = await call('GET', '/v1/audit?limit=2');
    const next = await call('GET', `/v1/audit?limit=2&cursor=${String(first.body['nextCursor'])}`);
    assert.deepEqual(
      [...(first.body.items ?? []), ...(next.body.items ?? [])],
      entries.slice(0, 4),
    );
    for (const [query, pointer] of [
      ['from=yesterday', 'query/from'],
      ['tenantId=nobody', 'query/tenantId'],
      ['colour=red', 'query/colour'],
      ['cursor=x', 'query/cursor'],
    ] as const) {
      const answer = await call('GET', `/v1/audit?${query}`);
      assert.deepEqual([answer.status, pointersOf(answer)], [422, [pointer]]);
    }
  });

  it('is exported as lines, all of them', async () => {
    for (let number = 0; number < 230; number += 1)
      await store.audit.begin({
        operationId: 'manyOfThem',
        tenantId: 'alpha',
        requestId: `many-${number}`,
        before: { text: '多\n行' },
      });
    const { text, headers } = await call('GET', '/v1/audit/export?operation=manyOfThem');
    assert.match(headers.get('content-type') ?? '', /^application\/x-ndjson/);
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Entry);
    assert.deepEqual(
      lines.map(({ requestId }) => requestId),
      Array.from({ length: 230 }, (_, at) => `many-${229 - at}`),
    );
  });

  it('has no secret in any entry', async () => {
    const key = await call('POST', '/v1/tenants/alpha/api-keys', { body: { name: 'shop' } });
    const { token } = await signIn('tokens', []);
    const made = await call('POST', '/v1/me/tokens', { token, body: { name: 'ci' } });
    await call('POST', '/v1/me/password', {
      token,
      body: { currentPassword: password, newPassword: `${password}!` },
    });
    const { text } = await call('GET', '/v1/audit/export');
    assert.ok(text.includes('"createApiKey"') && text.includes('"createToken"'));
    const secrets = [
      secret,
      password,
      '$argon2',
      String(key.body['key']),
      String(made.body['token']),
      token,
    ];
    for (const hidden of secrets) assert.ok(!text.includes(hidden), hidden);
    assert.match(text, /"key":"\(left out\)"/);
  });

  it('holds what cannot be written down: nothing is changed', async () => {
    const made = await call('POST', '/v1/templates', { body: template('alpha', 'kept') });
    const connection = await mysql.createConnection(mysqlUrl);
    await connection.query('rename table audit_log to audit_log_away');
    try {
      const at = `/v1/templates/${idOf(made)}`;
      const refusals = [
        await call('DELETE', at, { ifMatch: '"1"' }),
        await call('POST', '/v1/templates', { body: template('alpha', 'never') }),
        await call('POST', '/v1/sessions', { token: '', body: { login: 'li.lei', password } }),
      ];
      for (const refusal of refusals)
        assert.deepEqual([refusal.status, problemOf(refusal)], [503, 'store-unavailable']);
      assert.equal((await call('GET', at)).status, 200);
      assert.deepEqual(await store.templates.list('alpha', { limit: 9, name: 'never' }), []);
    } finally {
      await connection.query('rename table audit_log_away to audit_log');
      await connection.end();
    }
  });
});
