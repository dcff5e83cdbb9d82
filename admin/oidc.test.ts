/** Sign-in against a real OpenID Connect server, played through by what a browser would do. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { Provider } from 'oidc-provider';
import { createSealer } from '../platform/seal.ts';
import { serveAdmin } from '../tests/admin-app.ts';
import { createOidc, type NewcomerRule } from './oidc.ts';

const redirect = 'https://admin.test/v1/oidc/callback';
const clientId = 'message-center';
const clientSecret = 'a secret of the client, which it shares with the provider';
const people: Record<string, { name?: string; email?: string; email_verified?: boolean }> = {
  'li.lei': { name: 'Li Lei', email: 'Li.Lei@Example.com', email_verified: true },
  'han.meimei': { name: 'Han Meimei', email: 'han@example.com', email_verified: true },
  doubtful: { email: 'has.password@example.com', email_verified: false },
  claims: { email: 'has.password@example.com', email_verified: true },
};

const identityServer = createServer();
await new Promise<void>((resolve) => identityServer.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${(identityServer.address() as AddressInfo).port}`;
const provider = new Provider(issuer, {
  clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirect] }],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  cookies: { keys: ['for tests alone'] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, ...people[id] }),
  }),
});
identityServer.on('request', provider.callback());
after(() => identityServer.close());

let newcomers: NewcomerRule = 'refuse';
const served = await serveAdmin([], (sealer) => {
  const options = { issuer, clientId, clientSecret, redirect, sealer };
  const oidc = createOidc({ ...options, newcomers });
  return {
    ...oidc,
    get newcomers() {
      return newcomers;
    },
  };
});
const { store, call, port } = served;

/** One browser: cookies by origin, no redirect followed by itself. */
function createBrowser() {
  const cookies = new Map<string, Map<string, string>>();
  return async (url: string, form?: Record<string, string>) => {
    const { origin } = new URL(url);
    const jar = cookies.get(origin) ?? new Map<string, string>();
    cookies.set(origin, jar);
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form !== undefined && { method: 'POST', body: new URLSearchParams(form) }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      jar.set(name, value);
    }
    return response;
  };
}
type Browser = ReturnType<typeof createBrowser>;
const admin = `http://127.0.0.1:${port}`;

/** From our start to the address that the provider sends back to. */
async function signInAtProvider(browse: Browser, login: string): Promise<URL> {
  const start = await browse(`${admin}/v1/oidc/start`);
  assert.equal(start.status, 302);
  assert.match(
    start.headers.get('set-cookie') ?? '',
    /; HttpOnly; SameSite=Lax; Secure; Max-Age=600$/,
  );
  let at = new URL(start.headers.get('location') ?? '');
  for (let hop = 0; hop < 12; hop += 1) {
    if (at.href.startsWith(redirect)) return at;
    let response = await browse(at.href);
    if (response.status === 200) {
      const page = await response.text();
      const [, prompt = ''] = /name="prompt" value="(\w+)"/.exec(page) ?? [];
      response = await browse(at.href, { prompt, login, password: 'any' });
    }
    at = new URL(response.headers.get('location') ?? '', at);
  }
  throw new Error(`the provider did not send back, but to ${at.href}`);
}
const comeBack = (browse: Browser, { search }: URL) => browse(`${admin}/v1/oidc/callback${search}`);
async function signIn(login: string) {
  const browse = createBrowser();
  const response = await comeBack(browse, await signInAtProvider(browse, login));
  const body = (await response.json()) as { token?: string; user?: { id: string } };
  return { status: response.status, ...body };
}

describe('sign-in at an identity provider', () => {
  it('refuses whom we do not know, unless they are to be linked or created', async () => {
    newcomers = 'refuse';
    assert.equal((await signIn('li.lei')).status, 401);
    newcomers = 'link';
    assert.equal((await signIn('li.lei')).status, 401);
    const grants = [{ role: 'operator' as const, tenantId: '*' }];
    const user = await store.users.create({ login: 'li.lei@example.com', name: 'Li Lei', grants });
    const linked = await signIn('li.lei');
    assert.deepEqual([linked.status, linked.user?.id], [200, user.id]);
    const me = await call('GET', '/v1/me', { token: linked.token ?? '' });
    assert.deepEqual([me.body['id'], me.body['grants']], [user.id, grants]);

    newcomers = 'create';
    const created = await signIn('han.meimei');
    assert.equal(created.status, 200);
    const made = await store.users.get(created.user?.id ?? '');
    assert.deepEqual(
      [made?.login, made?.name, made?.hasPassword, made?.grants],
      ['han@example.com', 'Han Meimei', false, []],
    );
    newcomers = 'refuse';
    assert.equal((await signIn('han.meimei')).user?.id, made?.id);
  });

  it('takes over nobody by a mail address', async () => {
    const login = 'has.password@example.com';
    await store.users.create({ login, name: 'P', password: 'correct horse battery', grants: [] });
    newcomers = 'create';
    assert.equal((await signIn('claims')).status, 401);
    const doubtful = await signIn('doubtful');
    assert.equal(doubtful.status, 200);
    const made = await store.users.get(doubtful.user?.id ?? '');
    assert.match(made?.login ?? '', /^oidc\.[0-9a-f]{16}$/);
  });

  it('ends with the user', async () => {
    newcomers = 'create';
    const { token = '', user } = await signIn('han.meimei');
    const edit = { name: 'Han', grants: [], isDisabled: true };
    const at = `/v1/users/${user?.id}`;
    assert.equal((await call('PUT', at, { ifMatch: '"1"', body: edit })).status, 200);
    assert.equal((await call('GET', '/v1/me', { token })).status, 401);
    assert.equal((await signIn('han.meimei')).status, 401);
  });

  it('refuses an answer that was not asked for in this browser, is doubled, or changed', async () => {
    const browse = createBrowser();
    const back = await signInAtProvider(browse, 'li.lei');
    const stranger = await comeBack(createBrowser(), back);
    const other = createBrowser();
    await signInAtProvider(other, 'li.lei');
    const crossed = await comeBack(other, back);
    const changed = new URL(back);
    changed.searchParams.set('state', 'another');
    const refusals = [stranger, crossed, await comeBack(browse, changed)];
    const denied = new URL(back);
    denied.searchParams.delete('code');
    denied.searchParams.set('error', 'access_denied');
    refusals.push(await comeBack(browse, denied));
    assert.deepEqual(
      refusals.map(({ status }) => status),
      [401, 401, 401, 401],
    );
    assert.equal((await comeBack(browse, back)).status, 200);
    assert.equal((await comeBack(browse, back)).status, 401);
  });

  it('is in the audit log, without its token', async () => {
    const { body, text } = await call('GET', '/v1/audit?operation=finishOidc&limit=200');
    const entries = body.items ?? [];
    assert.ok(
      entries.some(({ status }) => status === 200) && entries.some(({ status }) => status === 401),
    );
    const right = entries.find(({ status }) => status === 200);
    assert.match(JSON.stringify(right?.['target']), /"id":"usr_/);
    assert.ok(!text.includes('mcs_'));
  });

  it('says so when the provider does not answer', async () => {
    const options = { issuer: 'http://127.0.0.1:9', clientId, clientSecret, redirect };
    const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
    const away = createOidc({ ...options, newcomers, sealer });
    await assert.rejects(away.start(), { code: 'identity-provider-unavailable' });
  });
});
