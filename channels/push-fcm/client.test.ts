import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Check } from 'typebox/value';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { readBody } from '../sandbox/http-listener.ts';
import { demoPushFcm } from './demo.ts';
import { createPushFcm } from './index.ts';

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.toReversed()) await close();
});
const { signal } = new AbortController();
const to = { deviceToken: 'token-0001' };
const content = { title: 't', body: 'b' };
const nowMs = Date.parse('2026-01-31T17:30:00Z');

interface Asked {
  readonly path: string;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}
interface Answer {
  readonly status?: number;
  readonly body: unknown;
}

/** A provider that answers as told; gives a client to it and what was asked. */
async function provider(
  answers: { readonly token?: Answer; readonly send?: (count: number) => Answer },
  path = '',
) {
  const asked: Asked[] = [];
  let sends = 0;
  const listener = await listenHttp(
    (request, response) => {
      void readBody(request, 100_000).then((body) => {
        const url = request.url ?? '';
        asked.push({ path: url, headers: request.headers, body: body.toString() });
        const isToken = url.endsWith('/token');
        if (!isToken) sends += 1;
        const { status = 200, body: text } = isToken
          ? (answers.token ?? { body: { access_token: `at-${asked.length}`, expires_in: 3599 } })
          : (answers.send?.(sends) ?? { body: { name: 'projects/p/messages/1' } });
        response.writeHead(status).end(typeof text === 'string' ? text : JSON.stringify(text));
      });
    },
    { host: '127.0.0.1', port: 0 },
  );
  const connector = createPushFcm({
    allowPrivateProviders: true,
    tokens: createProviderTokens(),
    now: () => nowMs,
    random: () => 0,
  });
  const client = connector.createClient({
    id: 'acc',
    tenantId: 'ten',
    ...demoPushFcm.account({ url: listener.url + path, receiptToken: '' }),
  });
  closers.push(listener.close, () => client.close());
  return { client, asked };
}

test('one call for a token, then messages with it, under the base path', async () => {
  const { client, asked } = await provider({}, '/base');
  const deliveryKey = 'msg_a.0.b';
  const full = {
    ...content,
    data: { orderId: '7', mcRef: 'forged' },
    url: 'https://example.com/7',
    androidPriority: 'normal',
    ttlSeconds: 60,
  };
  for (const _ of [1, 2]) {
    const outcome = await client.send({ to, content: full, deliveryKey, signal });
    assert.deepEqual(outcome, { class: 'accepted', providerId: 'projects/p/messages/1' });
  }
  assert.deepEqual(
    asked.map((each) => each.path),
    [
      '/base/token',
      '/base/v1/projects/message-center-sandbox/messages:send',
      '/base/v1/projects/message-center-sandbox/messages:send',
    ],
  );
  assert.equal(asked[1]?.headers['authorization'], 'Bearer at-1');
  assert.deepEqual(JSON.parse(asked[1]?.body ?? ''), {
    message: {
      token: 'token-0001',
      notification: { title: 't', body: 'b' },
      data: { orderId: '7', url: 'https://example.com/7', mcRef: deliveryKey },
      android: {
        priority: 'NORMAL',
        ttl: '60s',
        collapse_key: deliveryKey,
        notification: { tag: deliveryKey },
      },
      apns: {
        headers: { 'apns-collapse-id': deliveryKey, 'apns-expiration': String(nowMs / 1000 + 60) },
      },
    },
  });
});

test('a stale token is made anew once', async () => {
  const stale = { status: 401, body: { error: { status: 'UNAUTHENTICATED' } } };
  const { client, asked } = await provider({
    send: (count) => (count === 1 ? stale : { body: { name: 'n' } }),
  });
  const outcome = await client.send({ to, content, deliveryKey: 'k', signal });
  assert.equal(outcome.class, 'accepted');
  assert.equal(asked.filter(({ path }) => path.endsWith('/token')).length, 2);

  const always = await provider({ send: () => stale });
  const given = await always.client.send({ to, content, deliveryKey: 'k', signal });
  assert.equal(given.class, 'auth-expired');
  assert.equal(always.asked.length, 4);
});

test('what the token endpoint refuses is the outcome, and nothing was sent', async () => {
  const cases = [
    [400, { error: 'invalid_grant', error_description: 'Invalid JWT' }, 'auth-invalid'],
    [401, { error: 'unauthorized_client' }, 'auth-invalid'],
    [429, '', 'rate-limited'],
    [500, '{}', 'transient'],
    [502, '<html>', 'transient'],
    [200, '{"access_token":""}', 'transient'],
  ] as const;
  for (const [status, body, wanted] of cases) {
    const { client, asked } = await provider({ token: { status, body } });
    const outcome = await client.send({ to, content, deliveryKey: 'k', signal });
    assert.equal(outcome.class, wanted, `${status}`);
    assert.equal(asked.length, 1);
  }
});

test('a payload beyond 4096 bytes is refused before anything is sent', async () => {
  const { client, asked } = await provider({});
  const text = '长'.repeat(1300);
  const outcome = await client.send({
    to,
    content: { title: 't', body: text, data: { more: 'x'.repeat(200) } },
    deliveryKey: 'k',
    signal,
  });
  assert.equal(outcome.class, 'content-rejected');
  assert.ok(!outcome.providerMessage?.includes('长'));
  assert.equal(asked.length, 0);
});

test('a key that is none is refused without being named', () => {
  const connector = createPushFcm({ allowPrivateProviders: true, tokens: createProviderTokens() });
  const { settings } = demoPushFcm.account({ url: 'http://127.0.0.1:1', receiptToken: '' });
  const privateKey = '-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n';
  const secrets = { clientEmail: 'a@b.example', privateKey };
  assert.throws(
    () => connector.createClient({ id: 'acc', tenantId: 'ten', settings, secrets }),
    /^Error: (?!.*hush).*account acc.*\/privateKey/s,
  );
});

test('content: data is strings only, options are known ones', () => {
  const { contentSchema } = createPushFcm({
    allowPrivateProviders: false,
    tokens: createProviderTokens(),
  });
  assert.ok(Check(contentSchema, { ...content, data: { a: '{{b}}' }, ttlSeconds: 0 }));
  for (const wrong of [
    { data: { a: 1 } },
    { data: { 'a b': 'x' } },
    { androidPriority: 'urgent' },
    { ttlSeconds: 2_419_201 },
    { title: '' },
  ])
    assert.ok(!Check(contentSchema, { ...content, ...wrong }), JSON.stringify(wrong));
});
