import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptRequest } from '../../contracts/channel.ts';
import { createRandom } from '../sandbox/random.ts';
import { encryptPush, signParts } from './crypto.ts';
import { parsePush, type PushCheck } from './receipts.ts';

const token = 'AAAAA';
const aesKey = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG';
const olderKey = 'GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba';
const appId = 'wx0123456789abcdef';
const openid = 'otFpruAK8D-E6EfStSYonYSBZ8_4';
const account = (more: { settings?: object; secrets?: object } = {}): PushCheck['account'] => ({
  id: 'acc_1',
  tenantId: 'ten_1',
  settings: { appId, ...more.settings },
  secrets: { appSecret: 's', pushToken: token, encodingAesKey: aesKey, ...more.secrets },
});
const check: PushCheck = { account: account(), now: () => 0 };

interface Wrap {
  readonly key?: string;
  readonly appId?: string;
  readonly token?: string;
  readonly isJson?: boolean;
}
function wrap(plain: string, how: Wrap = {}): ReceiptRequest {
  const encrypted = encryptPush(how.key ?? aesKey, plain, how.appId ?? appId);
  return enveloped(encrypted, how);
}
function enveloped(encrypted: string, how: Wrap = {}): ReceiptRequest {
  const [timestamp, nonce] = ['1714036504', '1514711492'];
  const body =
    how.isJson === true
      ? JSON.stringify({ ToUserName: 'gh', Encrypt: encrypted })
      : `<xml><ToUserName><![CDATA[gh]]></ToUserName><Encrypt><![CDATA[${encrypted}]]></Encrypt></xml>`;
  return {
    method: 'POST',
    query: {
      signature: signParts(how.token ?? token, timestamp, nonce),
      timestamp,
      nonce,
      encrypt_type: 'aes',
      msg_signature: signParts(how.token ?? token, timestamp, nonce, encrypted),
    },
    headers: {},
    body: Buffer.from(body),
  };
}
const event = (name: string, inner: string) =>
  `<xml><ToUserName><![CDATA[gh_123456789abc]]></ToUserName><FromUserName><![CDATA[${openid}]]></FromUserName><CreateTime>1610969468</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[${name}]]></Event>${inner}</xml>`;
const finished = (status: string) =>
  event(
    'TEMPLATESENDJOBFINISH',
    `<MsgID>3557254367693750277</MsgID><Status><![CDATA[${status}]]></Status>`,
  );
const occurredAt = '2021-01-18T11:31:08.000Z';
const told = (request: ReceiptRequest, by = check) => {
  const parsed = parsePush(request, by);
  assert.ok(parsed.result === 'receipts', JSON.stringify(parsed));
  return parsed;
};
const refusedFor = (request: ReceiptRequest, by = check) => {
  const parsed = parsePush(request, by);
  return parsed.result === 'refused' ? parsed.reason : parsed;
};

test('the address check of the documents is answered with its echostr', () => {
  const query = { timestamp: '1714036504', nonce: '1514711492', echostr: '4375120948345356249' };
  const get = (signature: string): ReceiptRequest => ({
    method: 'GET',
    query: { ...query, signature },
    headers: {},
    body: Buffer.alloc(0),
  });
  assert.deepEqual(told(get('f464b24fc39322e44b38aa78f5edd27bd1441696')), {
    result: 'receipts',
    receipts: [],
    reply: { status: 200, contentType: 'text/plain', body: '4375120948345356249' },
  });
  assert.equal(refusedFor(get('0'.repeat(40))), 'signature');
  assert.equal(refusedFor(get('')), 'signature');
});

test('what became of a template message is told by its status', () => {
  const outcomes = {
    success: ['delivered', undefined],
    'failed:user block': ['failed', 'recipient-refused'],
    'failed: system failed': ['failed', 'transient'],
    'failed:freq limit': ['failed', 'rate-limited'],
    'failed: something new': ['failed', 'transient'],
  };
  for (const [status, [wanted, outcome]] of Object.entries(outcomes)) {
    const { receipts, reply } = told(wrap(finished(status)));
    assert.deepEqual(reply, { status: 200, contentType: 'text/plain', body: 'success' });
    assert.deepEqual(receipts, [
      {
        providerId: '3557254367693750277',
        providerCode: status.replaceAll(' ', ''),
        occurredAt,
        status: wanted,
        ...(outcome !== undefined && { outcome }),
      },
    ]);
  }
  assert.deepEqual(told(wrap(finished('thinking'))).receipts, []);
});

const entry = (msgId: string, code: string) =>
  `<List><TemplateId><![CDATA[t]]></TemplateId><MsgID>${msgId}</MsgID><ErrorCode>${code}</ErrorCode><ErrorStatus><![CDATA[x]]></ErrorStatus></List>`;
const sent = (...entries: readonly string[]) =>
  event(
    'subscribe_msg_sent_event',
    `<SubscribeMsgSentEvent>${entries.join('')}</SubscribeMsgSentEvent>`,
  );

test('a sent event tells of one message or of many', () => {
  const one = {
    providerId: '1700827132819554304',
    providerCode: '0',
    occurredAt,
    status: 'delivered',
  };
  assert.deepEqual(told(wrap(sent(entry('1700827132819554304', '0')))).receipts, [one]);
  assert.deepEqual(
    told(wrap(sent(entry('1700827132819554304', '0'), entry('1700827132819554305', '43101'))))
      .receipts,
    [
      one,
      {
        providerId: '1700827132819554305',
        providerCode: '43101',
        occurredAt,
        status: 'failed',
        outcome: 'recipient-refused',
      },
    ],
  );
});

test('JSON pushes: the list stands beside, ids may be numbers or text', () => {
  const json = (list: string) =>
    `{"ToUserName":"gh","FromUserName":"${openid}","CreateTime":"1610969468","MsgType":"event","Event":"subscribe_msg_sent_event","List":${list}}`;
  const item = (msgId: string) =>
    `{"TemplateId":"t","MsgID":${msgId},"ErrorCode":"0","ErrorStatus":"success"}`;
  for (const list of [
    item('"1864323726461255681"'),
    item('1864323726461255681'),
    `[${item('1864323726461255681')}]`,
  ]) {
    const [receipt] = told(wrap(json(list), { isJson: true })).receipts;
    assert.deepEqual([receipt?.providerId, receipt?.status], ['1864323726461255681', 'delivered']);
  }
});

const list = (...choices: readonly string[]) =>
  choices
    .map(
      (each) =>
        `<List><TemplateId>t</TemplateId><SubscribeStatusString><![CDATA[${each}]]></SubscribeStatusString></List>`,
    )
    .join('');
const popup = (...choices: readonly string[]) =>
  event(
    'subscribe_msg_popup_event',
    `<SubscribeMsgPopupEvent>${list(...choices)}</SubscribeMsgPopupEvent>`,
  );
const change = event(
  'subscribe_msg_change_event',
  `<SubscribeMsgChangeEvent>${list('reject')}</SubscribeMsgChangeEvent>`,
);
const outOf = (plain: string) => told(wrap(plain)).optOuts?.map(({ isOut, how }) => [isOut, how]);

test('people who turn away or come back are told, whatever the kind of message', () => {
  assert.deepEqual(told(wrap(popup('reject'))).optOuts, [
    { to: { openid }, isOut: true, how: 'popup-reject', occurredAt },
  ]);
  assert.deepEqual(outOf(popup('accept', 'reject')), [[false, 'popup-accept']]);
  assert.equal(outOf(popup('ban')), undefined);
  assert.deepEqual(outOf(change), [[true, 'change-reject']]);
  assert.deepEqual(outOf(event('unsubscribe', '')), [[true, 'unsubscribe']]);
  assert.deepEqual(outOf(event('subscribe', '<EventKey></EventKey>')), [[false, 'subscribe']]);
});

test('other events and what people write are acknowledged and yield nothing', () => {
  const text = event('', '').replace(
    '<Event><![CDATA[]]></Event>',
    '<Content><![CDATA[<!DOCTYPE x>&a;]]></Content>',
  );
  for (const plain of [
    event('LOCATION', '<Latitude>1</Latitude>'),
    text,
    '<xml></xml>'.replace('><', '><a>1</a><'),
  ])
    assert.deepEqual(told(wrap(plain)).receipts, []);
});

test('both EncodingAESKeys are taken while they change over', () => {
  const both = {
    ...check,
    account: account({ secrets: { previousEncodingAesKey: olderKey } }),
  };
  const pushes = [wrap(finished('success')), wrap(finished('success'), { key: olderKey })];
  for (const push of pushes) assert.equal(told(push, both).receipts.length, 1);
  assert.equal(refusedFor(pushes[1] as ReceiptRequest), 'malformed');
});

test('a replayed push parses the same', () => {
  const push = wrap(finished('success'));
  assert.deepEqual(parsePush(push, check), parsePush(push, check));
});

test('plain pushes are taken only where the account says so', () => {
  const plain: ReceiptRequest = {
    ...wrap(''),
    query: { timestamp: '1', nonce: '2', signature: signParts(token, '1', '2') },
    body: Buffer.from(finished('success')),
  };
  assert.equal(refusedFor(plain), 'signature');
  const open = { ...check, account: account({ settings: { allowPlainPushes: true } }) };
  assert.equal(told(plain, open).receipts.length, 1);
  assert.equal(
    refusedFor({ ...plain, query: { ...plain.query, signature: '' } }, open),
    'signature',
  );
});

test('forged, foreign and broken pushes are refused', () => {
  assert.equal(refusedFor(wrap(finished('success'), { token: 'BBBBB' })), 'signature');
  assert.equal(refusedFor(wrap(finished('success'), { appId: 'wxfedcba9876543210' })), 'signature');
  const noToken = { ...check, account: { ...account(), secrets: { appSecret: 's' } } };
  assert.equal(refusedFor(wrap(finished('success'), { token: '' }), noToken), 'signature');
  assert.equal(refusedFor({ ...wrap(finished('success')), method: 'PUT' }), 'malformed');
  assert.equal(refusedFor(wrap('neither')), 'malformed');
  assert.equal(refusedFor(wrap('{"Event":')), 'malformed');
});

test('entities are not expanded, and a document type is refused', () => {
  const bomb = `<!DOCTYPE x [<!ENTITY a "${'x'.repeat(100)}"><!ENTITY b "${'&a;'.repeat(100)}">]>`;
  assert.equal(refusedFor(wrap(bomb + finished('success'))), 'malformed');
  assert.equal(
    refusedFor({ ...wrap(''), body: Buffer.from(`${bomb}<xml><Encrypt>&b;</Encrypt></xml>`) }),
    'malformed',
  );
  const inner = finished('success').replace('<MsgID>', `${bomb}<MsgID>`);
  assert.ok(JSON.stringify(parsePush(wrap(inner), check)).length < 1000);
});

test('whatever is cut, flipped or badly padded is refused and never throws', () => {
  const random = createRandom(7);
  const encrypted = encryptPush(aesKey, finished('success'), appId);
  const bytes = Buffer.from(encrypted, 'base64');
  for (let round = 0; round < 300; round += 1) {
    const at = Math.floor(random() * bytes.length);
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] ?? 0) ^ (1 + Math.floor(random() * 255));
    // Unsigned: the signature refuses it. Signed anew, as if the token had leaked: length, padding or appid do, or the
    // damage is in the message itself and its random head.
    const unsigned = {
      ...enveloped(flipped.toString('base64')),
      query: enveloped(encrypted).query,
    };
    assert.equal(refusedFor(unsigned), 'signature');
    parsePush(enveloped(flipped.toString('base64')), check);
    const cut = bytes.subarray(0, at).toString('base64');
    assert.equal(typeof refusedFor(enveloped(cut)), 'string', `cut at ${at}`);
    // Half a body, at any place.
    const whole = enveloped(encrypted);
    const half = Buffer.from(whole.body).subarray(
      0,
      Math.floor(random() * (whole.body.length - 40)),
    );
    assert.equal(typeof refusedFor({ ...whole, body: half }), 'string');
  }
  // The last byte decides the padding: every change of the block before it changes it.
  for (let value = 1; value < 256; value += 1) {
    const bad = Buffer.from(bytes);
    const last = bad.length - 17;
    bad[last] = (bad[last] ?? 0) ^ value;
    assert.equal(typeof refusedFor(enveloped(bad.toString('base64'))), 'string', String(value));
  }
  for (const junk of [
    '',
    'A',
    '====',
    '中',
    'AAAA'.repeat(11),
    Buffer.alloc(32).toString('base64'),
  ])
    assert.equal(typeof refusedFor(enveloped(junk)), 'string', junk);
});
