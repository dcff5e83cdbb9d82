import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { defaultPayloadConverter } from '@temporalio/common';
import express from 'express';
import mysql from 'mysql2/promise';
import { listen, type RunningServer } from '../platform/http.ts';
import { createPayloadCodec } from '../platform/payload-codec.ts';
import { createSealer } from '../platform/seal.ts';
import { adminToken, serveAdmin } from '../tests/admin-app.ts';
import { createCodecServer } from './codec-server.ts';
import { createAuthenticate } from './server.ts';

const { store, deps, signIn, mysqlUrl } = await serveAdmin([]);
const codec = createPayloadCodec(createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]));
const servers: RunningServer[] = [];
const urls: Record<'token' | 'local', string> = { token: '', local: '' };
before(async () => {
  for (const access of ['token', 'local'] as const) {
    const app = express().use(
      '/codec',
      createCodecServer({
        codec,
        uiOrigin: 'http://ui.example',
        access,
        authenticate: createAuthenticate(adminToken, store),
        store,
        logger: deps.logger,
      }),
    );
    const server = await listen(app, '127.0.0.1', 0);
    servers.push(server);
    urls[access] = `http://127.0.0.1:${server.port}/codec`;
  }
});
after(() => Promise.all(servers.map((server) => server.close())));

const text = '您的验证码是 493817';
async function sealed() {
  const payloads = await codec.encode([defaultPayloadConverter.toPayload(text)]);
  return payloads.map(({ metadata, data }) => ({
    metadata: { encoding: Buffer.from(metadata?.['encoding'] ?? []).toString('base64') },
    data: Buffer.from(data ?? []).toString('base64'),
  }));
}
async function ask(token: string, of: { payloads?: unknown; access?: 'token' | 'local' } = {}) {
  const { payloads = await sealed(), access = 'token' } = of;
  const answer = await fetch(`${urls[access]}/decode`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token !== '' && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ payloads }),
  });
  const body = (await answer.json()) as { payloads?: { data: string }[]; message?: string };
  const [shown] = body.payloads ?? [];
  return {
    status: answer.status,
    shown: shown && (JSON.parse(Buffer.from(shown.data, 'base64').toString('utf8')) as string),
  };
}
const entries = async () =>
  (await store.audit.list({ operationId: 'decodePayloads' }, { limit: 100 })).map(
    ({ actor, status, after: state }) => [actor?.id, status, state],
  );

describe('the codec server', () => {
  it('shows payloads to administrators of all tenants, and says so in the audit log', async () => {
    const head = await signIn('head', [{ role: 'administrator', tenantId: '*' }]);
    assert.deepEqual(await ask(head.token), { status: 200, shown: text });
    assert.deepEqual(await ask(adminToken), { status: 200, shown: text });
    assert.deepEqual(await entries(), [
      ['admin', 200, { payloads: 1 }],
      [head.user.id, 200, { payloads: 1 }],
    ]);
    assert.ok(!JSON.stringify(await store.audit.list({}, { limit: 100 })).includes('493817'));
  });

  it('refuses everybody else, which is in the log where it is known who', async () => {
    const known = (await entries()).length;
    const viewer = await signIn('viewer', [{ role: 'viewer', tenantId: '*' }]);
    const shop = await signIn('shop', [{ role: 'administrator', tenantId: 'demo' }]);
    for (const [token, status] of [
      ['', 401],
      ['mcs_wrong', 401],
      [viewer.token, 403],
      [shop.token, 403],
    ] as const)
      assert.deepEqual(await ask(token), { status, shown: undefined });
    const added = (await entries()).slice(0, -known);
    assert.deepEqual(added, [
      [shop.user.id, 403, undefined],
      [viewer.user.id, 403, undefined],
    ]);
  });

  it('says what it cannot open, and what it cannot read', async () => {
    const [payload] = await sealed();
    assert.ok(payload);
    const foreign = [{ ...payload, data: Buffer.from('no such seal').toString('base64') }];
    assert.equal((await ask(adminToken, { payloads: foreign })).status, 400);
    assert.deepEqual((await entries())[0], ['admin', 400, { payloads: 1 }]);
    assert.equal((await ask(adminToken, { payloads: 'all' })).status, 400);
  });

  it('serves callers on this machine without a token where it is told to', async () => {
    assert.deepEqual(await ask('', { access: 'local' }), { status: 200, shown: text });
    assert.deepEqual((await entries())[0], [undefined, 200, { payloads: 1 }]);
  });

  it('lets the page of the Temporal UI ask, and no other', async () => {
    const answer = await fetch(`${urls.token}/decode`, { method: 'OPTIONS' });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.get('access-control-allow-origin'), 'http://ui.example');
  });

  it('shows nothing that cannot be written down', async () => {
    const connection = await mysql.createConnection(mysqlUrl);
    await connection.query('rename table audit_log to audit_log_away');
    try {
      assert.deepEqual(await ask(adminToken), { status: 503, shown: undefined });
    } finally {
      await connection.query('rename table audit_log_away to audit_log');
      await connection.end();
    }
  });
});
