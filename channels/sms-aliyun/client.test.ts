import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { listenHttp } from '../sandbox/http-listener.ts';
import { batchMemberId } from './batch-ids.ts';
import { createSmsAliyun } from './index.ts';

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.toReversed()) await close();
});
const { signal } = new AbortController();
const to = { phone: '+8613900001111' };
const connector = createSmsAliyun({ allowPrivateProviders: true, random: () => 0 });

/** A provider that answers each call by its parameters; gives a client to it and what was asked. */
async function provider(
  answer: (query: URLSearchParams) => { status?: number; body: unknown },
  path = '',
) {
  const asked: { url: string; query: URLSearchParams }[] = [];
  const listener = await listenHttp(
    (request, response) => {
      const { search } = new URL(request.url ?? '/', 'http://provider');
      const query = new URLSearchParams(search);
      asked.push({ url: request.url ?? '', query });
      const { status = 200, body } = answer(query);
      response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
    },
    { host: '127.0.0.1', port: 0 },
  );
  const client = connector.createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { endpoint: listener.url + path },
    secrets: { accessKeyId: 'id', accessKeySecret: 'secret' },
  });
  closers.push(listener.close, () => client.close());
  const reconcile = (sentAt = '2026-01-02T03:04:05.000Z') =>
    client.reconcile?.({ to, deliveryKey: 'key', sentAt, signal });
  return { client, asked, reconcile };
}

const details = (outIds: readonly string[], total: number | string = outIds.length) => ({
  Code: 'OK',
  RequestId: 'R',
  TotalCount: total,
  SmsSendDetailDTOs: { SmsSendDetailDTO: outIds.map((OutId) => ({ OutId, PhoneNum: '139' })) },
});

test('sends one SendSms with our key, under the base path of the endpoint', async () => {
  const { client, asked } = await provider(() => ({ body: { Code: 'OK', BizId: 'b' } }), '/base/');
  const content = {
    signName: '签',
    templateCode: 'SMS_1',
    params: { a: 'x y+z&' },
    text: 'unused',
  };
  const outcome = await client.send({ to, content, deliveryKey: 'msg_a.0.b', signal });
  assert.equal(outcome.class, 'accepted');
  assert.equal(asked.length, 1);
  assert.ok(asked[0]?.url.startsWith('/base/?'));
  assert.deepEqual(Object.fromEntries(asked[0]?.query ?? []), {
    OutId: 'msg_a.0.b',
    PhoneNumbers: '13900001111',
    SignName: '签',
    TemplateCode: 'SMS_1',
    TemplateParam: '{"a":"x y+z&"}',
  });
});

test('an impossible mainland number is refused without a call', async () => {
  const { client, asked } = await provider(() => ({ body: {} }));
  const content = { signName: '签', templateCode: 'SMS_1', params: {} };
  const request = { to: { phone: '+8612345678901' }, content, deliveryKey: 'k', signal };
  assert.equal((await client.send(request)).class, 'recipient-invalid');
  assert.equal(asked.length, 0);
  assert.equal(connector.addressFault(to, {}), undefined);
  assert.equal(connector.addressFault({ phone: '+85261234567' }, {}), undefined);
});

test('reads all pages of a day until the key is found', async () => {
  const pages = [Array.from({ length: 50 }, (_, n) => `other-${n}`), ['other-50', 'key']];
  const { asked, reconcile } = await provider((query) => ({
    body: details(pages[Number(query.get('CurrentPage')) - 1] ?? [], '52'),
  }));
  assert.deepEqual(await reconcile(), { found: 'yes' });
  assert.deepEqual(
    asked.map(({ query }) => [
      query.get('SendDate'),
      query.get('CurrentPage'),
      query.get('PageSize'),
    ]),
    [
      ['20260102', '1', '50'],
      ['20260102', '2', '50'],
    ],
  );
});

test('says no only after the last row, and yes only for the very key', async () => {
  const { reconcile } = await provider(() => ({ body: details(['key2', 'ke', '']) }));
  assert.deepEqual(await reconcile(), { found: 'no' });
});

test('asks for both days around midnight of UTC+8', async () => {
  const { asked, reconcile } = await provider(() => ({ body: details([]) }));
  assert.deepEqual(await reconcile('2026-01-01T16:05:00.000Z'), { found: 'no' });
  assert.deepEqual(
    asked.map(({ query }) => query.get('SendDate')),
    ['20260102', '20260101'],
  );
});

test('cannot tell when the books are incomplete, unreadable, throttled or endless', async () => {
  const throttled = { status: 400, body: { Code: 'Throttling.User' } };
  const answers = [
    { body: details([], 5) },
    { body: '<html>' },
    { status: 503, body: 'x' },
    { body: { Code: 'OK', RequestId: 'R' } },
    { body: { Code: 'isv.DATA_NOT_EXIST', Message: 'm' } },
    throttled,
    { body: details(['other'], 100_000) },
  ];
  for (const answer of answers) {
    const { reconcile } = await provider(() => answer);
    assert.equal((await reconcile())?.found, 'cannot-tell', JSON.stringify(answer));
  }
});

test('throttling while asking is named in the detail', async () => {
  const { reconcile } = await provider(() => ({ status: 400, body: { Code: 'Throttling.User' } }));
  assert.deepEqual(await reconcile(), { found: 'cannot-tell', detail: 'Throttling.User' });
});

test('verify never ends ambiguous: nothing was asked for that could be done twice', async () => {
  const { client } = await provider(() => ({ status: 502, body: '<html>' }));
  assert.equal((await client.verify(signal)).class, 'transient');
});

test('private endpoints are refused unless they are allowed', async () => {
  const { asked } = await provider(() => ({ body: {} }));
  const guarded = createSmsAliyun({ allowPrivateProviders: false });
  for (const endpoint of ['http://127.0.0.1:1', 'http://localhost:1', 'https://[::1]:1']) {
    const client = guarded.createClient({
      id: 'acc',
      tenantId: 'ten',
      settings: { endpoint },
      secrets: { accessKeyId: 'id', accessKeySecret: 'secret' },
    });
    const outcome = await client.verify(signal);
    assert.equal(outcome.class, 'transient');
    assert.match(outcome.providerMessage ?? '', /EPRIVATE/);
    await client.close();
  }
  assert.equal(asked.length, 0);
});

test('what people read is the text with its signature', () => {
  const content = { signName: '签', templateCode: 'SMS_1', params: { code: '1' } };
  assert.equal(connector.contentText({ ...content, text: '码1' }), '【签】码1');
  assert.equal(connector.contentText(content), '【签】1');
});

test('a call for several messages around that time leaves it open, at other times it does not', async () => {
  const batch = (SendDate: string) => ({ OutId: 'batch.0123', SendStatus: 1, SendDate });
  const reconciled = async (records: readonly object[], sentAt?: string) => {
    const body = { ...details([]), TotalCount: records.length };
    const { reconcile } = await provider((query) => ({
      body:
        query.get('SendDate') === '20260102'
          ? { ...body, SmsSendDetailDTOs: { SmsSendDetailDTO: records } }
          : details([]),
    }));
    return (await reconcile(sentAt))?.found;
  };
  // Sent at 11:04:05 in UTC+8.
  for (const time of ['10:49:05', '11:04:06', '11:19:05'])
    assert.equal(await reconciled([batch(`2026-01-02 ${time}`)]), 'cannot-tell', time);
  for (const time of ['10:49:04', '11:19:06'])
    assert.equal(await reconciled([batch(`2026-01-02 ${time}`)]), 'no', time);
  assert.equal(await reconciled([batch('unreadable')]), 'cannot-tell');
  assert.equal(await reconciled([{ OutId: 'other', SendDate: '2026-01-02 11:04:06' }]), 'no');
  assert.equal(await reconciled([batch('2026-01-02 11:04:06'), { OutId: 'key' }]), 'yes');
  // Near midnight the record is found under the other day.
  assert.equal(
    await reconciled([batch('2026-01-02 23:59:00')], '2026-01-02T16:05:00.000Z'),
    'cannot-tell',
  );
});

const sent = (change: object = {}) => ({
  to,
  deliveryKey: 'msg_a.0.b',
  providerId: '9006^0',
  sentAt: '2026-01-02T03:04:05.000Z',
  ...change,
});
const asking = async (records: readonly object[], messages = [sent()]) => {
  const { client, asked } = await provider(() => ({
    body: {
      ...details([]),
      TotalCount: records.length,
      SmsSendDetailDTOs: { SmsSendDetailDTO: records },
    },
  }));
  return { told: await client.askReceipts?.(messages, signal), asked };
};
const settled = {
  OutId: 'msg_a.0.b',
  SendStatus: 3,
  ErrCode: 'DELIVERED',
  SendDate: '2026-01-02 11:04:05',
  ReceiveDate: '2026-01-02 11:04:09',
};
const ids = { deliveryKey: 'msg_a.0.b', providerId: '9006^0' };

test('tells delivered and failed from the records of our key', async () => {
  const occurredAt = '2026-01-02T03:04:09.000Z';
  assert.deepEqual((await asking([{ ...settled, OutId: 'other' }, settled])).told, [
    { ...ids, status: 'delivered', providerCode: 'DELIVERED', occurredAt },
  ]);
  const failed = { ...settled, SendStatus: 2, ErrCode: 'MK:0001' };
  assert.deepEqual((await asking([failed])).told, [
    {
      ...ids,
      status: 'failed',
      outcome: 'recipient-invalid',
      providerCode: 'MK:0001',
      occurredAt,
    },
  ]);
  for (const ErrCode of ['XX:1', 'DELIVERED', null, 'constructor'])
    assert.equal((await asking([{ ...failed, ErrCode }])).told?.[0]?.outcome, 'transient');
});

test('tells nothing of what waits, is another message, or is not in the books', async () => {
  const silent = [
    [],
    [{ ...settled, SendStatus: 1 }],
    [{ ...settled, SendStatus: 7 }],
    [{ ...settled, SendStatus: null }],
    [{ ...settled, OutId: 'batch.0' }],
    [{ ...settled, OutId: 'msg_a.0.bb' }],
    [
      { ...settled, SendStatus: 2 },
      { ...settled, SendStatus: 1 },
    ],
  ];
  for (const records of silent)
    assert.deepEqual((await asking(records)).told, [], JSON.stringify(records));
  assert.equal((await asking([{ ...settled, SendStatus: '3' }])).told?.length, 1);
});

test('a repeated delivery that came through once is delivered', async () => {
  const { told } = await asking([{ ...settled, SendStatus: 2 }, settled]);
  assert.equal(told?.[0]?.status, 'delivered');
});

test('a message of a batch is asked for by BizId', async () => {
  const providerId = batchMemberId('9006^0', '13900001111');
  const batched = { ...settled, OutId: 'batch.0123' };
  const { told, asked } = await asking([batched], [sent({ providerId })]);
  assert.deepEqual([told?.length, told?.[0]?.providerId], [1, providerId]);
  assert.equal(asked[0]?.query.get('BizId'), '9006^0');
  assert.equal(asked[0]?.query.get('PhoneNumber'), '13900001111');
  // Two records: the provider did not heed the BizId, and neither may be taken for ours.
  assert.deepEqual((await asking([batched, batched], [sent({ providerId })])).told, []);
  assert.equal((await asking([settled])).asked[0]?.query.has('BizId'), false);
});

test('a provider that cannot be asked is an error, one that refuses the number is not', async () => {
  const ask = async (answer: { status?: number; body: unknown }) =>
    (await provider(() => answer)).client.askReceipts?.([sent()], signal);
  for (const answer of [
    { status: 400, body: { Code: 'Throttling.User' } },
    { status: 400, body: { Code: 'SignatureDoesNotMatch' } },
    { status: 502, body: '<html>' },
  ])
    await assert.rejects(ask(answer), (error: Error) => !error.message.includes('1390000'));
  assert.deepEqual(await ask({ body: { Code: 'isv.MOBILE_NUMBER_ILLEGAL' } }), []);
  assert.deepEqual(await ask({ body: details([], 5) }), []);
  const { client } = await provider(() => ({ body: details([]) }));
  await assert.rejects(client.askReceipts?.([sent()], AbortSignal.abort()) ?? Promise.resolve());
});
