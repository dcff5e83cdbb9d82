import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { triesPerWindow } from '../store/index.ts';
import { pointersOf, problemOf, serveAdmin, type AdminAnswer } from '../tests/admin-app.ts';

const { call, signIn, store, lines, mysqlUrl } = await serveAdmin([]);
const password = 'correct horse battery';
const answers: string[] = [];

async function login(name: string, given = password): Promise<AdminAnswer> {
  return call('POST', '/v1/sessions', { token: '', body: { login: name, password: given } });
}
async function create(name: string, grants: object[] = [], token?: string): Promise<AdminAnswer> {
  const body = { login: name, name: `Name of ${name}`, password, grants };
  const made = await call('POST', '/v1/users', { body, ...(token !== undefined && { token }) });
  answers.push(made.text);
  return made;
}
const statusOf = async (token: string) => (await call('GET', '/v1/me', { token })).status;
const path = ({ body }: AdminAnswer) => `/v1/users/${String(body['id'])}`;

before(async () => {
  for (const id of ['alpha', 'beta']) await store.tenants.create(id, id);
});

describe('signing in', () => {
  it('gives a token that works until the session ends', async () => {
    await create('li.lei', [{ role: 'viewer', tenantId: 'alpha' }]);
    const signedIn = await login('li.lei');
    assert.equal(signedIn.status, 201, signedIn.text);
    const token = String(signedIn.body['token']);
    assert.match(token, /^mcs_/);
    const me = await call('GET', '/v1/me', { token });
    assert.deepEqual(
      [me.body['login'], me.body['grants']],
      ['li.lei', [{ role: 'viewer', tenantId: 'alpha' }]],
    );
    assert.equal((await call('DELETE', '/v1/sessions/current', { token })).status, 204);
    assert.equal(await statusOf(token), 401);
  });

  it('says the same of a wrong password, an unknown login and a disabled user', async () => {
    const off = await create('switched.off');
    const edit = { name: 'Off', grants: [], isDisabled: true };
    assert.equal((await call('PUT', path(off), { body: edit, ifMatch: '"1"' })).status, 200);
    const refusals = [
      await login('li.lei', 'wrong horse'),
      await login('nobody.here'),
      await login('switched.off'),
    ];
    for (const refusal of refusals) {
      assert.deepEqual([refusal.status, problemOf(refusal)], [401, 'unauthorized']);
      assert.equal(refusal.body['detail'], refusals[0]?.body['detail']);
    }
  });

  it('is slowed down by login, known or not, and told when to come back', async () => {
    await create('guessed');
    for (const name of ['guessed', 'guessed.unknown']) {
      for (let tried = 0; tried < triesPerWindow; tried += 1)
        assert.equal((await login(name, `guess ${tried}`)).status, 401);
      const slowed = await login(name);
      assert.deepEqual([slowed.status, problemOf(slowed)], [429, 'rate-limited']);
      const seconds = Number(slowed.headers.get('retry-after'));
      assert.ok(seconds > 0 && seconds <= 300, String(seconds));
    }
    assert.equal((await login('li.lei')).status, 201);
    const connection = await mysql.createConnection(mysqlUrl);
    await connection.query(
      'update login_tries set window_ends_at = date_sub(window_ends_at, interval 6 minute)',
    );
    await connection.end();
    assert.equal((await login('guessed')).status, 201);
  });

  it('ends everywhere when the user is disabled or deleted, or has a new password', async () => {
    for (const [name, end] of [
      [
        'disabled',
        (at: string) =>
          call('PUT', at, { ifMatch: '"1"', body: { name: 'n', grants: [], isDisabled: true } }),
      ],
      [
        'renewed',
        (at: string) =>
          call('PUT', at, {
            ifMatch: '"1"',
            body: { name: 'n', grants: [], password: `${password}!` },
          }),
      ],
      ['deleted', (at: string) => call('DELETE', at, { ifMatch: '"1"' })],
    ] as const) {
      const made = await create(name);
      const session = String((await login(name)).body['token']);
      const { body } = await call('POST', '/v1/me/tokens', {
        token: session,
        body: { name: 'ci' },
      });
      assert.deepEqual(
        [await statusOf(session), await statusOf(String(body['token']))],
        [200, 200],
      );
      assert.ok((await end(path(made))).status < 300);
      assert.deepEqual(
        [await statusOf(session), await statusOf(String(body['token']))],
        [401, 401],
      );
    }
    const found = await store.users.findByLogin('disabled');
    assert.ok(found !== undefined);
    await call('PUT', `/v1/users/${found.id}`, { ifMatch: '"2"', body: { name: 'n', grants: [] } });
    assert.equal((await login('disabled')).status, 201);
  });

  it('ends with its time', async () => {
    const { user } = await signIn('late', []);
    const expiresAt = new Date(Date.now() + 50);
    const { token } = await store.sessions.create({ userId: user.id, kind: 'session', expiresAt });
    await new Promise((resolve) => setTimeout(resolve, 80));
    assert.equal(await statusOf(token), 401);
  });

  it('has no identity provider unless one is set', async () => {
    for (const at of ['start', 'callback'])
      assert.equal((await call('GET', `/v1/oidc/${at}`, { token: '' })).status, 404);
  });

  it('takes no made-up token', async () => {
    const { token } = await signIn('owner', []);
    const last = token.endsWith('0') ? '1' : '0';
    for (const made of [token.slice(0, -1) + last, token.slice(0, -1), 'mcs_x_y', `${token}0`])
      assert.equal(await statusOf(made), 401, made);
  });
});

describe('what people do for themselves', () => {
  it('change a password with the old one, and sign in again', async () => {
    await create('changer');
    const token = String((await login('changer')).body['token']);
    const change = (currentPassword: string, newPassword: string) =>
      call('POST', '/v1/me/password', { token, body: { currentPassword, newPassword } });
    const wrong = await change('not this one', 'another horse battery');
    assert.deepEqual([wrong.status, pointersOf(wrong)], [422, ['/currentPassword']]);
    const short = await change(password, 'short');
    assert.deepEqual([short.status, pointersOf(short)], [422, ['/newPassword']]);
    assert.equal((await change(password, 'another horse battery')).status, 204);
    assert.equal(await statusOf(token), 401);
    assert.equal((await login('changer')).status, 401);
    assert.equal((await login('changer', 'another horse battery')).status, 201);
  });

  it('make, list and end tokens, which make no others', async () => {
    const { token } = await signIn('maker', []);
    const made = await call('POST', '/v1/me/tokens', {
      token,
      body: { name: 'ci', expiresInDays: 1 },
    });
    assert.equal(made.status, 201, made.text);
    const program = String(made.body['token']);
    for (const [at, body] of [
      ['/v1/me/tokens', { name: 'more' }],
      ['/v1/me/password', { currentPassword: password, newPassword: password }],
    ] as const)
      assert.equal((await call('POST', at, { token: program, body })).status, 403);
    const listed = await call('GET', '/v1/me/tokens', { token });
    assert.deepEqual(
      listed.body.items?.map(({ kind, name }) => [kind, name]),
      [
        ['session', undefined],
        ['token', 'ci'],
      ],
    );
    assert.ok(!listed.text.includes(program.slice(-20)));
    const other = await signIn('other.maker', []);
    const revoke = `/v1/me/tokens/${String(made.body['id'])}`;
    assert.equal((await call('DELETE', revoke, { token: other.token })).status, 404);
    assert.equal((await call('DELETE', revoke, { token })).status, 204);
    assert.equal(await statusOf(program), 401);
  });
});

describe('users', () => {
  it('are created, read, changed and deleted, with the fields named that are at fault', async () => {
    const made = await create('whole', [{ role: 'editor', tenantId: 'beta' }]);
    assert.deepEqual([made.status, made.headers.get('etag')], [201, '"1"']);
    assert.equal(made.headers.get('location'), path(made));
    assert.deepEqual((await call('GET', path(made))).body, made.body);
    const taken = await create('whole');
    assert.deepEqual([taken.status, pointersOf(taken)], [409, ['/login']]);
    const body = { login: 'fine', name: 'Fine', password, grants: [] };
    for (const [change, pointer] of [
      [{ login: 'Upper' }, '/login'],
      [{ name: ' ' }, '/name'],
      [{ password: 'short' }, '/password'],
      [{ grants: [{ role: 'king', tenantId: 'alpha' }] }, '/grants/0/role'],
      [{ grants: [{ role: 'viewer' }] }, '/grants/0/tenantId'],
      [{ grants: [{ role: 'viewer', tenantId: 'nobody' }] }, '/grants/0/tenantId'],
      [{ id: 'usr_x' }, '/id'],
    ] as const) {
      const answer = await call('POST', '/v1/users', { body: { ...body, ...change } });
      assert.deepEqual([answer.status, pointersOf(answer)], [422, [pointer]], answer.text);
    }
    const edit = { name: 'Another', grants: [{ role: 'viewer', tenantId: '*' }] };
    assert.equal((await call('PUT', path(made), { body: edit })).status, 428);
    const put = await call('PUT', path(made), { body: edit, ifMatch: '"1"' });
    assert.deepEqual([put.status, put.body['grants']], [200, edit.grants]);
    assert.equal((await login('whole')).status, 201);
    assert.equal((await call('PUT', path(made), { body: edit, ifMatch: '"1"' })).status, 412);
    assert.equal((await call('DELETE', path(made), { ifMatch: '"2"' })).status, 204);
    assert.equal((await call('GET', path(made))).status, 404);
  });

  it('are granted nothing by who is no administrator there, themselves included', async () => {
    const head = await signIn('head.alpha', [{ role: 'administrator', tenantId: 'alpha' }]);
    const mine = { role: 'viewer', tenantId: 'alpha' };
    for (const grant of [
      { role: 'viewer', tenantId: 'beta' },
      { role: 'administrator', tenantId: '*' },
    ]) {
      const made = await create(`by.head.${grant.role}`, [mine, grant], head.token);
      assert.deepEqual([made.status, pointersOf(made)], [403, ['/grants/1']]);
      const self = await call('PUT', `/v1/users/${head.user.id}`, {
        token: head.token,
        ifMatch: '"1"',
        body: { name: 'head.alpha', grants: [...head.user.grants, grant] },
      });
      assert.deepEqual([self.status, pointersOf(self)], [403, ['/grants/1']]);
    }
    const unseen = await create('by.head', [], head.token);
    assert.deepEqual([unseen.status, pointersOf(unseen)], [422, ['/grants']]);
    assert.equal((await create('by.head', [mine], head.token)).status, 201);
  });

  it('of several tenants keep what an administrator of one of them does not see', async () => {
    const head = await signIn('head.of.one', [{ role: 'administrator', tenantId: 'alpha' }]);
    const { user } = await signIn('of.both', [
      { role: 'operator', tenantId: 'alpha' },
      { role: 'operator', tenantId: 'beta' },
    ]);
    const at = `/v1/users/${user.id}`;
    const { token } = head;
    const read = await call('GET', at, { token });
    assert.deepEqual(read.body['grants'], [{ role: 'operator', tenantId: 'alpha' }]);
    const listed = await call('GET', '/v1/users?limit=200', { token });
    assert.ok(!listed.text.includes('beta'));
    for (const change of [{ password }, { isDisabled: true }, { name: 'Another' }]) {
      const body = { name: user.name, grants: [], ...change };
      const refused = await call('PUT', at, { token, ifMatch: '"1"', body });
      assert.deepEqual([refused.status, problemOf(refused)], [403, 'forbidden']);
    }
    assert.equal((await call('DELETE', at, { token, ifMatch: '"1"' })).status, 403);
    const grants = [{ role: 'viewer', tenantId: 'alpha' }];
    const put = await call('PUT', at, { token, ifMatch: '"1"', body: { name: user.name, grants } });
    assert.deepEqual([put.status, put.body['grants']], [200, grants]);
    assert.deepEqual((await store.users.get(user.id))?.grants, [
      { role: 'viewer', tenantId: 'alpha' },
      { role: 'operator', tenantId: 'beta' },
    ]);
  });

  it('cannot lock out the holder of MC_ADMIN_TOKEN', async () => {
    const { user, token } = await signIn('last', [{ role: 'administrator', tenantId: '*' }]);
    const edit = { name: 'last', grants: [], isDisabled: true };
    const at = `/v1/users/${user.id}`;
    assert.equal((await call('PUT', at, { token, ifMatch: '"1"', body: edit })).status, 200);
    assert.equal(await statusOf(token), 401);
    assert.equal(
      (await create('next.one', [{ role: 'administrator', tenantId: '*' }])).status,
      201,
    );
  });

  it('are given away by no answer, no line and no row', async () => {
    const hashes = ['$argon2', password];
    for (const text of [...answers, ...lines])
      for (const secret of hashes) assert.ok(!text.includes(secret), text);
    assert.ok(answers.length > 5 && lines.length > 10);
    const connection = await mysql.createConnection(mysqlUrl);
    const [rows] = await connection.query(
      'select password_hash from users where password_hash is not null',
    );
    await connection.end();
    const kept = rows as { password_hash: string }[];
    assert.ok(kept.length > 3 && kept.every((row) => row.password_hash.startsWith('$argon2id$')));
  });
});
