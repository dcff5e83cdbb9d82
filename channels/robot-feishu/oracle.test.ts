/**
 * The documented algorithm's vectors against our signature, and our request byte by byte. There is no official library for
 * custom robots that could be the oracle.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMailbox } from '../conformance-kit.ts';
import { createRobotFeishu } from './index.ts';
import { signRobot } from './sign.ts';

/** Secret, seconds, signature: both computed by others, with other libraries. */
const vectors = [
  ['testsecret', '1700000000', 'AOc8oJ7//5OlQlfWC3nRL0R+IkuzcD1FKcAyibRK9Q8='],
  ['mysecret', '1700000000', 'Jp33/xXhCipDEpjyHvEyc7mRSyXWHbNz6J8+C3qQKNo='],
] as const;

test('the vectors', () => {
  for (const [secret, timestamp, signature] of vectors)
    assert.equal(signRobot(secret, timestamp), signature);
});

test('the requests as they go out', async (t) => {
  const mailbox = await createMailbox('{"code":0,"msg":"success","data":{}}');
  t.after(() => mailbox.close());
  const [[secret, timestamp, sign]] = vectors;
  const client = createRobotFeishu({
    allowPrivateProviders: true,
    now: () => 1_700_000_000_999,
  }).createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { groups: ['ops'], baseUrl: `${mailbox.url}/sandbox/` },
    secrets: { robots: { ops: { hookId: 'f1900000-0000', secret } } },
  });
  t.after(() => client.close());
  const post = {
    title: '发货',
    lines: [[{ text: 'see ' }, { text: 'order', href: 'https://example.com/1' }], [{ text: '.' }]],
  };
  for (const content of [{ text: '您好 "a"' }, { post }]) {
    const { signal } = new AbortController();
    const outcome = await client.send({
      to: { group: 'ops' },
      content,
      deliveryKey: 'key',
      signal,
    });
    assert.equal(outcome.class, 'accepted');
  }
  assert.ok(
    mailbox.requests.every(
      ({ method, headers }) =>
        method === 'POST' && headers['content-type'] === 'application/json; charset=utf-8',
    ),
  );
  assert.deepEqual(
    mailbox.requests.map(({ body }) => JSON.parse(Buffer.from(body).toString()) as unknown),
    [
      { timestamp, sign, msg_type: 'text', content: { text: '您好 "a"' } },
      {
        timestamp,
        sign,
        msg_type: 'post',
        content: {
          post: {
            zh_cn: {
              title: '发货',
              content: [
                [
                  { tag: 'text', text: 'see ' },
                  { tag: 'a', text: 'order', href: 'https://example.com/1' },
                ],
                [{ tag: 'text', text: '.' }],
              ],
            },
          },
        },
      },
    ],
  );
});
