import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startSandbox, type Sandbox } from '../channels/sandbox/start-sandbox.ts';
import { demoChannels } from '../channels/demo.ts';
import { demoAccount } from '../stack/seed.ts';
import { openTestAdmin, pointers } from '../tests/admin.ts';

const phone = '13900001234';
const admin = await openTestAdmin();
const call = admin.as('ann');
let sandbox: Sandbox;
let accountId: string;
let at: string;

const [sms] = demoChannels;
const edit = () => {
  assert.ok(sms !== undefined);
  return demoAccount(sms, { urlOf: sandbox.urlOf, receiptToken: 'token-of-16-letters' });
};
const createAccount = async (change: object) => {
  const { status, body } = await call('POST', '/v1/channel-accounts', {
    body: { ...edit(), ...change },
  });
  assert.equal(status, 201, JSON.stringify(body));
  return String(body['id']);
};

before(async () => {
  sandbox = await startSandbox();
  await admin.store.tenants.create('other', 'Other');
  accountId = await createAccount({});
  const template = {
    name: 'tested',
    kind: 'notice',
    variables: { text: { type: 'string', maxLength: 20 } },
    contents: { 'sms-aliyun': sms?.plainNotice },
  };
  const made = await call('POST', '/v1/templates', { body: template });
  const path = `/v1/templates/${String(made.body['id'])}/versions`;
  const contents = {
    'sms-aliyun': {
      signName: '消息中心',
      templateCode: 'SMS_1003',
      params: { text: 'draft: {{text}}' },
      text: 'draft: {{text}}',
    },
  };
  await call('POST', path, { body: { ...template, contents } });
  at = `${path}/2/test`;
});
after(async () => {
  await sandbox.close();
  await admin.close();
});

describe('a test send', () => {
  it('sends a draft to the sandbox, as its provider takes it, and logs no address', async () => {
    const { status, body } = await call('POST', at, { body: { accountId, to: { phone } } });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual([body['isAccepted'], body['text']], [true, '【消息中心】draft: text']);
    const given = await call('POST', at, {
      body: { accountId, to: { phone: '13900001235' }, variables: { text: 'hello' } },
    });
    assert.equal(given.body['text'], '【消息中心】draft: hello');
    const shown = JSON.stringify(sandbox.smsAliyun.device.find().entries);
    assert.ok(shown.includes('draft: text') && shown.includes('draft: hello'), shown);
    assert.ok(admin.lines.some((line) => line.includes('template-version.tested')));
    assert.ok(admin.lines.every((line) => !line.includes(phone)));
  });

  it('says what the sandbox refuses', async () => {
    const broken = await createAccount({
      name: 'broken',
      secrets: { accessKeyId: 'sandbox', accessKeySecret: 'wrong' },
    });
    const { body } = await call('POST', at, { body: { accountId: broken, to: { phone } } });
    assert.equal(body['isAccepted'], false);
    assert.equal((body['outcome'] as { class: string }).class, 'auth-invalid');
  });

  it('reaches nobody through an account that is not marked, of another tenant, or of a channel without content', async () => {
    const real = await createAccount({ name: 'real', isSandbox: false });
    const foreign = await createAccount({ name: 'foreign', tenantId: 'other' });
    const silent = await createAccount({
      name: 'inbox',
      connector: 'inbox-builtin',
      settings: {},
      secrets: {},
    });
    for (const [change, pointer] of [
      [{ accountId: real }, '/accountId'],
      [{ accountId: foreign }, '/accountId'],
      [{ accountId: 'acc_none' }, '/accountId'],
      [{ accountId: silent, to: { userId: 'u-1' } }, '/accountId'],
      [{ to: { email: 'a@example.com' } }, '/to/email'],
      [{ variables: { text: 'x'.repeat(21) } }, '/variables/text'],
      [{ variables: {} }, '/variables/text'],
      [{ to: {} }, '/to'],
    ] as const) {
      const refused = await call('POST', at, { body: { accountId, to: { phone }, ...change } });
      assert.deepEqual(
        [refused.status, pointers(refused)],
        [422, [pointer]],
        JSON.stringify(change),
      );
    }
    const missing = await call('POST', at.replace('/2/', '/9/'), {
      body: { accountId, to: { phone } },
    });
    assert.equal(missing.status, 404);
  });
});
