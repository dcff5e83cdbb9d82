/** Published vectors and `@wecom/crypto`, the provider's own library for these pushes, against our verifier, both ways. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decrypt, encrypt, getSignature } from '@wecom/crypto';
import { decryptPush, encryptPush, signParts } from './crypto.ts';
import { sandboxWechat } from './demo.ts';
import { parsePush } from './receipts.ts';

const aesKey = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG';
const appId = 'wx0123456789abcdef';
const texts = [
  '',
  'x',
  '<xml><a>您好😀</a></xml>',
  'y'.repeat(31),
  'z'.repeat(32),
  '长'.repeat(5000),
];

test('signatures of the documents', () => {
  const published = {
    f464b24fc39322e44b38aa78f5edd27bd1441696: ['1714036504', '1514711492'],
    '899cf89e464efb63f54ddac96b0a0a235f53aa78': ['1714037059', '486452656'],
  };
  for (const [signature, parts] of Object.entries(published))
    assert.equal(signParts('AAAAA', ...parts), signature);
});

test('the library and we sign alike', () => {
  for (const [token, timestamp, nonce, encrypted] of [
    ['tokenA', '1714036504', '1514711492', 'Zm9v'],
    ['Z', '9', '10', 'a+/='],
    ['token', '', '', ''],
  ] as const)
    assert.equal(
      signParts(token, timestamp, nonce, encrypted),
      getSignature(token, timestamp, nonce, encrypted),
    );
});

test('we read what the library encrypts, for every length of padding', () => {
  for (const message of [...texts, ...Array.from({ length: 40 }, (_, n) => 'p'.repeat(n))])
    assert.deepEqual(decryptPush(aesKey, encrypt(aesKey, message, appId)), { message, appId });
});

test('the library reads what we encrypt', () => {
  for (const message of texts) {
    const plain = decrypt(aesKey, encryptPush(aesKey, message, appId));
    assert.deepEqual([plain.message, plain.id], [message, appId]);
  }
});

test('a push that the library made is taken, and not with another key', () => {
  const [app] = sandboxWechat.apps;
  const plain = `<xml><FromUserName><![CDATA[otFpruAK8D-E6EfStSYonYSBZ8_4]]></FromUserName><CreateTime>1610969468</CreateTime><Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event><MsgID>3557254367693750277</MsgID><Status><![CDATA[success]]></Status></xml>`;
  const sealed = encrypt(app.encodingAesKey, plain, app.appId);
  const query = {
    encrypt_type: 'aes',
    timestamp: '1610969468',
    nonce: '12345',
    msg_signature: getSignature(app.pushToken, '1610969468', '12345', sealed),
  };
  const request = {
    method: 'POST',
    query,
    headers: {},
    body: Buffer.from(`<xml><Encrypt><![CDATA[${sealed}]]></Encrypt></xml>`),
  };
  const { appSecret, pushToken, encodingAesKey } = app;
  const account = {
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: { appId: app.appId },
    secrets: { appSecret, pushToken, encodingAesKey },
  };
  const check = { account, now: () => 0 };
  const parsed = parsePush(request, check);
  assert.ok(parsed.result === 'receipts');
  assert.equal(parsed.receipts[0]?.providerId, '3557254367693750277');
  const other = { ...account, secrets: { appSecret, pushToken, encodingAesKey: aesKey } };
  assert.equal(parsePush(request, { ...check, account: other }).result, 'refused');
});
