/**
 * The documented algorithm's vector against our signature, and our request byte by byte. There is no official library for
 * custom robots that could be the oracle.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMailbox } from '../conformance-kit.ts';
import { createRobotDingtalk } from './index.ts';
import { signRobot } from './sign.ts';

const vector = {
  secret: 'SECtest',
  timestampMs: '1700000000000',
  encoded: 'aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D',
};

test('the vector', () => {
  assert.equal(encodeURIComponent(signRobot(vector.secret, vector.timestampMs)), vector.encoded);
});

test('the requests as they go out', async (t) => {
  const mailbox = await createMailbox('{"errcode":0,"errmsg":"ok"}');
  t.after(() => mailbox.close());
  const client = createRobotDingtalk({
    allowPrivateProviders: true,
    now: () => Number(vector.timestampMs),
  }).createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { groups: ['ops'], baseUrl: `${mailbox.url}/sandbox/` },
    secrets: { robots: { ops: { accessToken: 'a'.repeat(64), secret: vector.secret } } },
  });
  t.after(() => client.close());
  const markdown = { title: 'Down', text: '# Down\n@13900001111' };
  for (const content of [
    { text: '您好 "a"' },
    { markdown, atMobiles: ['13900001111'], isAtAll: true },
  ]) {
    const { signal } = new AbortController();
    const outcome = await client.send({
      to: { group: 'ops' },
      content,
      deliveryKey: 'key',
      signal,
    });
    assert.equal(outcome.class, 'accepted');
  }
  for (const { method, query, headers } of mailbox.requests) {
    assert.equal(method, 'POST');
    assert.deepEqual(query, {
      access_token: 'a'.repeat(64),
      timestamp: vector.timestampMs,
      sign: decodeURIComponent(vector.encoded),
    });
    assert.equal(headers['content-type'], 'application/json; charset=utf-8');
  }
  assert.deepEqual(
    mailbox.requests.map(({ body }) => JSON.parse(Buffer.from(body).toString()) as unknown),
    [
      {
        msgtype: 'text',
        text: { content: '您好 "a"' },
        at: { atMobiles: [], isAtAll: false },
      },
      { msgtype: 'markdown', markdown, at: { atMobiles: ['13900001111'], isAtAll: true } },
    ],
  );
});
