import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { createMailbox } from '../conformance-kit.ts';
import type { HttpListener } from '../sandbox/http-listener.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { sandboxWechat } from './demo.ts';
import { parsePush } from './receipts.ts';
import { createWechatSimulator } from './simulator.ts';
import { magicOpenid } from './simulator-settings.ts';

const simulator = createWechatSimulator(sandboxWechat);
const [official, notices, mini] = sandboxWechat.apps;
let listener: HttpListener;
before(async () => {
  listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
});
beforeEach(() => simulator.reset());
after(async () => {
  await listener.close();
  await simulator.close();
});

interface Answer {
  readonly errcode?: number;
  readonly errmsg?: string;
  readonly access_token: string;
  readonly expires_in: number;
  readonly quota?: object;
  readonly text: string;
}
async function call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
  const answer = await request(listener.url + path, {
    method,
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  assert.equal(answer.statusCode, 200);
  const text = await answer.body.text();
  return { ...(JSON.parse(text) as Omit<Answer, 'text'>), text };
}
type App = typeof official | typeof notices | typeof mini;
const tokenOf = (app: App, more: object = {}) =>
  call('POST', '/cgi-bin/stable_token', {
    grant_type: 'client_credential',
    appid: app.appId,
    secret: app.appSecret,
    ...more,
  });
const legacyTokenOf = (app: App) =>
  call(
    'GET',
    `/cgi-bin/token?grant_type=client_credential&appid=${app.appId}&secret=${app.appSecret}`,
  );
const paths = {
  template: '/cgi-bin/message/template/send',
  bizsend: '/cgi-bin/message/subscribe/bizsend',
  send: '/cgi-bin/message/subscribe/send',
};
const openid = 'oABCD0123456789abcdefghijklm';
const plain = {
  touser: openid,
  template_id: 'TM_plain',
  data: { keyword1: { value: '您好' } },
};
const order = {
  touser: openid,
  template_id: 'TM_order',
  data: { thing1: { value: '书' }, time2: { value: '15:01' } },
};
async function send(change: object = {}, path = paths.template, app: App = official) {
  const { access_token } = await tokenOf(app);
  return call('POST', `${path}?access_token=${access_token}`, { ...plain, ...change });
}
const codeOf = async (answer: Promise<Answer>) => (await answer).errcode;
const works = (token: string) =>
  codeOf(call('POST', `${paths.template}?access_token=${token}`, plain));

test('takes a message, shows it, and answers an id beyond 2^53', async () => {
  const { text } = await send(order);
  const msgid = /^\{"errcode":0,"errmsg":"ok","msgid":(\d{19})\}$/.exec(text)?.[1];
  assert.ok(BigInt(msgid ?? 0) > 2n ** 53n, text);
  const [taken] = simulator.accepted.find().entries;
  assert.deepEqual([taken?.providerId, taken?.to], [msgid, openid]);
  assert.equal(simulator.device.find().entries[0]?.text, '商品：书\n发货时间：15:01');
});

test('refuses credentials as WeChat does', async () => {
  assert.equal(await codeOf(tokenOf(official, { secret: 'short' })), 40125);
  assert.equal(await codeOf(tokenOf(official, { secret: 'f'.repeat(32) })), 40001);
  assert.equal(await codeOf(tokenOf(official, { appid: 'wx0' })), 40013);
  assert.equal(await codeOf(tokenOf(official, { grant_type: 'x' })), 40002);
  assert.equal(await codeOf(call('GET', '/cgi-bin/stable_token')), 43002);
  assert.equal(await codeOf(call('POST', paths.template, plain)), 41001);
  assert.equal(await works('70_unknown'), 40001);
});

test('normal mode repeats the token, and near its end both work', async () => {
  const first = await tokenOf(official);
  assert.equal((await tokenOf(official)).access_token, first.access_token);
  assert.ok(first.expires_in <= 7200 && first.expires_in > 7190);
  // 7000 simulated seconds later: less than five minutes are left of the first one.
  simulator.configure({ clockScale: 1e6 });
  await until(async () => (await tokenOf(official)).access_token !== first.access_token);
  simulator.configure({ clockScale: 1 });
});

test('the old token works beside the new one for its last five minutes, then it is over', async () => {
  simulator.configure({ tokenLifeSeconds: 3 });
  const first = await tokenOf(official);
  let second = first;
  await until(async () => {
    second = await tokenOf(official);
    return second.access_token !== first.access_token;
  });
  assert.deepEqual([await works(first.access_token), await works(second.access_token)], [0, 0]);
  await until(async () => (await works(first.access_token)) === 42001);
});

test('force_refresh ends the token before it, again within 30 s gives the same, 20 a day', async () => {
  const first = await tokenOf(official);
  const forced = await tokenOf(official, { force_refresh: true });
  assert.notEqual(forced.access_token, first.access_token);
  assert.equal(await works(first.access_token), 40001);
  assert.equal(await works(forced.access_token), 0);
  const again = await tokenOf(official, { force_refresh: true });
  assert.equal(again.access_token, forced.access_token);
  simulator.configure({ clockScale: 100_000 });
  await until(async () => (await tokenOf(official, { force_refresh: true })).errcode === 45009);
});

test('the old endpoint gives a new token each time, ends the last, and leaves stable ones alone', async () => {
  const stable = await tokenOf(official);
  const first = await legacyTokenOf(official);
  const second = await legacyTokenOf(official);
  assert.notEqual(first.access_token, second.access_token);
  assert.deepEqual(
    [
      await works(first.access_token),
      await works(second.access_token),
      await works(stable.access_token),
    ],
    [40001, 0, 0],
  );
});

test('a revoked token is 40001, and the desk gives another', async () => {
  const { access_token: first } = await tokenOf(official);
  simulator.tokens.revoke(notices.appId);
  assert.equal(await works(first), 0);
  simulator.tokens.revoke();
  assert.equal(await works(first), 40001);
  assert.equal(await works((await tokenOf(official)).access_token), 0);
});

test('refuses what is not a message', async () => {
  const { access_token } = await tokenOf(official);
  const path = `${paths.template}?access_token=${access_token}`;
  assert.equal(await codeOf(call('POST', path, '')), 44002);
  assert.equal(await codeOf(call('POST', path, '{')), 47001);
  assert.equal(await codeOf(call('GET', path)), 43002);
  for (const [change, errcode] of [
    [{ touser: 'x' }, 40003],
    [{ touser: 5 }, 40035],
    [{ data: { keyword1: 'not wrapped' } }, 40035],
    [{ client_msg_id: 'x'.repeat(33) }, 40035],
    [{ template_id: 'none' }, 40037],
    [{ url: `https://x/${'y'.repeat(2048)}` }, 40039],
  ] as const)
    assert.equal(await codeOf(send(change)), errcode, JSON.stringify(change).slice(0, 80));
  assert.equal(simulator.accepted.total(), 0);
});

test('47003 names the field', async () => {
  const text = async (data: object) => (await send({ ...order, data })).errmsg;
  assert.match(
    (await text({ thing1: { value: '书' } })) ?? '',
    /data\.time2\.value is empty rid: /,
  );
  const long = { thing1: { value: '长'.repeat(21) }, time2: { value: '15:01' } };
  assert.match((await text(long)) ?? '', /^argument invalid! data\.thing1\.value invalid rid: /);
});

test('libraries, kinds of account and pages are kept apart', async () => {
  const bySub = { template_id: 'SUB_plain' };
  assert.equal(await codeOf(send(bySub, paths.bizsend, notices)), 0);
  assert.equal(await codeOf(send(bySub, paths.template, notices)), 40037);
  assert.equal(await codeOf(send({ template_id: 'TM_other' }, paths.bizsend, notices)), 40037);
  assert.equal(await codeOf(send(bySub, paths.send, notices)), 48001);
  const onPage = (page: string) =>
    codeOf(send({ template_id: 'MINI_plain', page }, paths.send, mini));
  assert.equal(await onPage('pages/order?id=1'), 0);
  assert.equal(await onPage('pages/none'), 41030);
  const { access_token } = await tokenOf(mini);
  const quota = (cgi_path: string) =>
    call('POST', `/cgi-bin/openapi/quota/get?access_token=${access_token}`, { cgi_path });
  assert.deepEqual((await quota(paths.send)).quota, {
    daily_limit: 100_000,
    used: 1,
    remain: 99_999,
  });
  assert.equal(await codeOf(quota(paths.template)), 76022);
  assert.equal(await codeOf(quota('/cgi-bin/none')), 76021);
});

test('a client_msg_id is one message to one person for ten minutes', async () => {
  const first = await send({ client_msg_id: 'a' });
  assert.equal((await send({ client_msg_id: 'a' })).text, first.text);
  assert.deepEqual([simulator.accepted.total(), simulator.device.total()], [1, 1]);
  await send({ client_msg_id: 'b' });
  await send({ client_msg_id: 'a', touser: 'oABCD0123456789abcdefghijkln' });
  assert.equal(simulator.device.total(), 3);
  simulator.configure({ clockScale: 100_000 });
  await until(async () => (await send({ client_msg_id: 'a' })).text !== first.text);
});

test('subscription messages know no repeat', async () => {
  const sub = { template_id: 'SUB_plain', client_msg_id: 'a' };
  for (const _ of [1, 2]) await send(sub, paths.bizsend, notices);
  assert.equal(simulator.device.total(), 2);
});

test('accepted subscriptions are used up', async () => {
  const sub = () => codeOf(send({ template_id: 'SUB_plain' }, paths.bizsend, notices));
  simulator.configure({ defaultGrants: 1 });
  assert.deepEqual([await sub(), await sub()], [0, 43101]);
  simulator.setGrants({ appId: notices.appId, openid, templateId: 'SUB_plain', count: 2 });
  assert.deepEqual([await sub(), await sub(), await sub()], [0, 0, 43101]);
});

test('quotas, and messages to one person', async () => {
  simulator.configure({ dailyQuota: 1 });
  assert.deepEqual([await codeOf(send()), await codeOf(send())], [0, 45009]);
  assert.equal(await codeOf(send({ template_id: 'SUB_plain' }, paths.bizsend, notices)), 0);
  simulator.reset();
  simulator.configure({ recipientWindow: { count: 2, windowSeconds: 60 } });
  assert.deepEqual(
    [await codeOf(send()), await codeOf(send()), await codeOf(send())],
    [0, 0, 43117],
  );
  assert.equal(await codeOf(send({ touser: 'oABCD0123456789abcdefghijkln' })), 0);
});

test('people of a meaning, and people who are set', async () => {
  for (const code of ['40003', '43004', '43019', '43101', '43117'] as const)
    assert.equal(await codeOf(send({ touser: magicOpenid(code) })), Number(code));
  simulator.setRelation(official.appId, openid, '43004');
  assert.equal(await codeOf(send()), 43004);
  // Who subscribed need not follow.
  const sub = { template_id: 'SUB_plain', touser: magicOpenid('43004') };
  assert.equal(await codeOf(send(sub, paths.bizsend, notices)), 0);
});

const checkOf = (app: App) => {
  const { appId, appSecret, pushToken, encodingAesKey } = app;
  const secrets = { appSecret, pushToken, encodingAesKey };
  const account = { id: 'a', tenantId: 't', settings: { appId }, secrets };
  return { account, now: Date.now };
};

for (const pushFormat of ['xml', 'json'] as const)
  test(`pushes in ${pushFormat} are encrypted, signed, and say what became of each message`, async () => {
    const mailbox = await createMailbox('success');
    simulator.configure({
      receiptUrl: mailbox.url,
      receiptMedianMs: 0,
      pushFormat,
      receiptDuplicateRate: 0,
    });
    const fates = {
      block: 'recipient-refused',
      system: 'transient',
      freq: 'rate-limited',
    } as const;
    for (const [app, path, template_id] of [
      [official, paths.template, 'TM_plain'],
      [mini, paths.send, 'MINI_plain'],
    ] as const) {
      const before = mailbox.requests.length;
      for (const touser of [
        openid,
        ...(['block', 'system', 'freq', 'never'] as const).map(magicOpenid),
      ])
        await send({ touser, template_id }, path, app);
      await until(async () => mailbox.requests.length >= before + 4);
      const ids = simulator.accepted.find({ order: 'oldest' }).entries.slice(-5);
      const told = mailbox.requests.slice(before).flatMap((push) => {
        const parsed = parsePush(push, checkOf(app));
        assert.ok(parsed.result === 'receipts', JSON.stringify(parsed));
        return parsed.receipts;
      });
      const outcomeOf = (providerId: string | undefined) => {
        const receipt = told.find((each) => each.providerId === providerId);
        return receipt?.outcome ?? receipt?.status;
      };
      assert.deepEqual(
        ids.map(({ providerId }) => outcomeOf(providerId)),
        ['delivered', ...Object.values(fates), undefined],
      );
    }
    await mailbox.close();
  });

test('what is not acknowledged is pushed three times more, 5 s apart, and then dropped', async () => {
  const mailbox = await createMailbox('{"code":0}');
  simulator.configure({
    receiptUrl: mailbox.url,
    receiptMedianMs: 0,
    receiptDuplicateRate: 0,
    clockScale: 100,
  });
  await send();
  await until(async () => simulator.receiptCounts().dropped === 1);
  assert.equal(mailbox.requests.length, 4);
  await mailbox.close();
});

test('each account pushes to its own address, also what people do', async () => {
  const [first, second] = [await createMailbox('success'), await createMailbox('success')];
  simulator.configure({
    receiptUrl: first.url,
    receiptUrls: { [notices.appId]: second.url },
    receiptDuplicateRate: 0,
  });
  const List = ['reject', 'reject'].map((choice, n) => ({
    TemplateId: `t${n}`,
    SubscribeStatusString: choice,
    PopupScene: 2,
  }));
  simulator.tell({ appId: official.appId, openid, event: 'unsubscribe' });
  simulator.tell({
    appId: notices.appId,
    openid,
    event: 'subscribe_msg_popup_event',
    fields: { SubscribeMsgPopupEvent: { List } },
  });
  await until(async () => first.requests.length + second.requests.length === 2);
  const said = (mailbox: typeof first, app: App) => {
    const [push] = mailbox.requests;
    assert.ok(push !== undefined);
    const parsed = parsePush(push, checkOf(app));
    return parsed.result === 'receipts' ? parsed.optOuts?.[0]?.how : parsed.detail;
  };
  assert.deepEqual([said(first, official), said(second, notices)], ['unsubscribe', 'popup-reject']);
  await Promise.all([first.close(), second.close()]);
});

test('a receipt can come before the answer; a silent drop shows nothing', async () => {
  const mailbox = await createMailbox('success');
  simulator.configure({ receiptUrl: mailbox.url, receiptMedianMs: 0, receiptDuplicateRate: 0 });
  simulator.faults.add({ kind: 'receipt-first', nextCalls: 1, action: 'template/send' });
  await send();
  assert.equal(mailbox.requests.length, 1);
  simulator.faults.add({ kind: 'silent-drop', nextCalls: 1, action: 'template/send' });
  await send();
  assert.deepEqual([simulator.accepted.total(), simulator.device.total()], [2, 1]);
  await mailbox.close();
});

test('bursts of -1 by a fault', async () => {
  simulator.faults.add({
    kind: 'error',
    status: 200,
    code: '-1',
    nextCalls: 2,
    action: 'template/send',
  });
  assert.deepEqual([await codeOf(send()), await codeOf(send()), await codeOf(send())], [-1, -1, 0]);
});

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error('not within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
