/** That the simulator refuses what WeCom refuses, and drops what WeCom drops. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { listenHttp, type HttpListener } from '../sandbox/http-listener.ts';
import { sandboxWecom } from './demo.ts';
import { createWecomSimulator } from './simulator.ts';

const [app] = sandboxWecom.apps;
const simulator = createWecomSimulator({
  ...sandboxWecom,
  seed: 1,
  apps: [app, { agentId: 7, secret: 'plain-app-secret', hasCustomers: false }],
});
let listener: HttpListener;

before(async () => {
  listener = await listenHttp((req, res) => simulator.handle?.(req, res), {
    host: '127.0.0.1',
    port: 0,
  });
});
beforeEach(() => simulator.reset());
after(async () => {
  await listener.close();
  await simulator.close();
});

type Answer = Readonly<Record<string, unknown>> & { readonly errcode: number };

async function get(path: string): Promise<Answer> {
  const { body } = await request(`${listener.url}/cgi-bin/${path}`);
  return (await body.json()) as Answer;
}
async function post(
  path: string,
  message: unknown,
  contentType = 'application/json',
): Promise<Answer> {
  const { body } = await request(`${listener.url}/cgi-bin/${path}`, {
    method: 'POST',
    headers: { 'content-type': contentType },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  });
  return (await body.json()) as Answer;
}
const token = async (secret: string = app.secret): Promise<string> =>
  String(
    (await get(`gettoken?corpid=${sandboxWecom.corpId}&corpsecret=${secret}`))['access_token'],
  );
const good = {
  touser: 'zhangsan',
  msgtype: 'text',
  agentid: app.agentId,
  text: { content: '您好' },
};
const send = async (change: object = {}) =>
  post(`message/send?access_token=${await token()}`, { ...good, ...change });
const shown = () => simulator.device.find().entries.filter(({ isGone }) => !isGone).length;

test('a token stays the same until it ends, and revoked or ended it is refused', async () => {
  const first = await token();
  assert.equal(await token(), first);
  assert.notEqual(await token('plain-app-secret'), first);
  simulator.revokeTokens();
  assert.equal((await post(`message/send?access_token=${first}`, good)).errcode, 40014);
  const second = await token();
  assert.notEqual(second, first);
  simulator.configure({ tokenLifeSeconds: 1 });
  simulator.revokeTokens();
  const brief = await token();
  const deadline = Date.now() + 5000;
  let errcode = 0;
  while (errcode === 0 && Date.now() < deadline)
    ({ errcode } = await post(`message/send?access_token=${brief}`, good));
  assert.equal(errcode, 42001);
});

test('tokens are refused without the right names, and who guesses is locked out', async () => {
  const { corpId } = sandboxWecom;
  assert.equal((await get('gettoken')).errcode, 41002);
  assert.equal((await get(`gettoken?corpid=${corpId}`)).errcode, 41004);
  assert.equal((await get('gettoken?corpid=other&corpsecret=x')).errcode, 40013);
  simulator.configure({ badSecretsPerHour: 2 });
  for (const expected of [40001, 40001, 45009])
    assert.equal((await get(`gettoken?corpid=${corpId}&corpsecret=bad`)).errcode, expected);
  const path = `gettoken?corpid=${corpId}&corpsecret=${app.secret}`;
  assert.equal((await get(path)).errcode, 45009);
});

test('a message is refused for whatever is wrong with it', async () => {
  assert.equal((await send()).errcode, 0);
  const card = {
    msgtype: 'textcard',
    textcard: { title: 't', description: 'd', url: 'https://a' },
  };
  assert.equal((await send(card)).errcode, 0);
  const cases: readonly (readonly [object, number])[] = [
    [{ agentid: undefined }, 41011],
    [{ agentid: '1' }, 40056],
    [{ agentid: 7 }, 301002],
    [{ touser: undefined }, 82001],
    [{ touser: 'a b' }, 40003],
    [{ touser: Array.from({ length: 1001 }, (_, at) => `u${at}`).join('|') }, 40058],
    [{ msgtype: 'poem' }, 40008],
    [{ text: { content: '' } }, 44004],
    [{ text: undefined }, 44004],
    [{ enable_duplicate_check: true }, 40058],
    [{ duplicate_check_interval: 14_401 }, 40058],
    [{ safe: 3 }, 40058],
    [{ ...card, textcard: { ...card.textcard, url: 'a.cn' } }, 40058],
    [{ touser: 'gone-1|unlicensed-1' }, 81013],
    [{ touser: 'unbound-1' }, 43004],
  ];
  for (const [change, errcode] of cases)
    assert.equal((await send(change)).errcode, errcode, JSON.stringify(change).slice(0, 80));
  const path = `message/send?access_token=${await token()}`;
  assert.equal((await post(path, '')).errcode, 44002);
  assert.equal((await post(path, '{')).errcode, 47001);
  assert.equal((await post(path, good, 'text/plain')).errcode, 47001);
  assert.equal((await get(path)).errcode, 43002);
  assert.equal((await post('message/send', good)).errcode, 41001);
  simulator.configure({ isIpAllowed: false });
  assert.equal((await send()).errcode, 60020);
});

test('some of many fail without failing the others, in lower case', async () => {
  const answer = await send({ touser: 'Wang|GONE-A|Unlicensed-B|gone-c' });
  assert.equal(answer.errcode, 0);
  assert.equal(answer['invaliduser'], 'gone-a|gone-c');
  assert.equal(answer['unlicenseduser'], 'unlicensed-b');
  assert.equal(shown(), 1);
});

test('texts are cut to whole characters', async () => {
  await send({ text: { content: '字'.repeat(700) } });
  assert.equal(simulator.device.find().entries[0]?.text, '字'.repeat(682));
});

test('the same JSON is one message within its interval, and only where that is asked for', async () => {
  const check = { enable_duplicate_check: 1, duplicate_check_interval: 600 };
  const [first, again] = [await send(check), await send(check)];
  assert.equal(again['msgid'], first['msgid']);
  assert.equal(shown(), 1);
  await send({ ...check, mc_ref: 'other' });
  assert.equal(shown(), 2);
  await send();
  await send();
  assert.equal(shown(), 4);
  simulator.configure({ clockScale: 600_000 });
  const deadline = Date.now() + 5000;
  let seen = 4;
  while (seen === 4 && Date.now() < deadline) {
    await send(check);
    seen = shown();
  }
  assert.equal(seen, 5);
});

test('the 31st message of a minute to a member is taken, dropped and counted', async () => {
  for (let at = 0; at < 31; at += 1) assert.equal((await send()).errcode, 0);
  assert.deepEqual([simulator.accepted.total(), shown(), simulator.dropped()], [31, 30, 1]);
  await send({ touser: 'lisi' });
  assert.equal(shown(), 31);
  simulator.configure({ memberPerMinute: null, memberPerHour: 32 });
  await send();
  await send();
  assert.equal(simulator.dropped(), 2);
});

test('an app has so many recipients a day', async () => {
  simulator.configure({ personSendsPerDay: 2 });
  assert.equal((await send({ touser: 'a|b' })).errcode, 0);
  assert.equal((await send()).errcode, 45009);
});

test('who calls an API too often is blocked, though not at message/send', async () => {
  simulator.configure({ apiPerMinute: 2 });
  const path = `agent/get?agentid=${app.agentId}&access_token=${await token()}`;
  const codes = [];
  for (let at = 0; at < 4; at += 1) codes.push((await get(path)).errcode);
  assert.deepEqual(codes, [0, 0, 45009, 45009]);
  for (let at = 0; at < 4; at += 1) assert.equal((await send()).errcode, 0);
});

test('a message is taken back within a day, from all of its receivers', async () => {
  const { msgid } = await send({ touser: 'a|b' });
  const path = `message/recall?access_token=${await token()}`;
  assert.equal((await post(path, { msgid: 'other' })).errcode, 40058);
  const other = `message/recall?access_token=${await token('plain-app-secret')}`;
  assert.equal((await post(other, { msgid })).errcode, 40058);
  assert.equal(shown(), 2);
  assert.equal((await post(path, { msgid })).errcode, 0);
  assert.equal(shown(), 0);
});

const customers = async (call: string, body: object) =>
  post(`externalcontact/${call}?access_token=${await token()}`, body);
const goodTask = {
  chat_type: 'single',
  external_userid: ['wmAAAAAAAA', 'wmBBBBBBBB'],
  sender: 'zhangsan',
  text: { content: '您好' },
};

test('a task is refused for whatever is wrong with it', async () => {
  assert.equal((await customers('add_msg_template', goodTask)).errcode, 0);
  const link = { title: 't', url: 'https://a.cn' };
  const cases: readonly (readonly [object, number])[] = [
    [{ external_userid: [] }, 40058],
    [{ external_userid: undefined }, 40058],
    [{ external_userid: ['short'] }, 40096],
    [{ external_userid: ['wmstranger'] }, 84061],
    [{ sender: 'gone-1' }, 60111],
    [{ text: { content: 'x'.repeat(4001) } }, 45002],
    [{ text: undefined }, 44004],
    [{ attachments: [{ msgtype: 'link', link: { ...link, url: 'a.cn' } }] }, 40058],
    [{ attachments: [{ msgtype: 'link', link: { ...link, title: 'x'.repeat(129) } }] }, 40058],
    [{ attachments: Array.from({ length: 10 }, () => ({ msgtype: 'link', link })) }, 40058],
  ];
  for (const [change, errcode] of cases)
    assert.equal(
      (await customers('add_msg_template', { ...goodTask, ...change })).errcode,
      errcode,
      JSON.stringify(change).slice(0, 80),
    );
  const other = `externalcontact/add_msg_template?access_token=${await token('plain-app-secret')}`;
  assert.equal((await post(other, goodTask)).errcode, 48002);
});

test('nothing is shown before the employee sends it, by script or after a while', async () => {
  const { msgid } = await customers('add_msg_template', goodTask);
  const result = async () =>
    (await customers('get_groupmsg_send_result', { msgid, userid: 'zhangsan' }))['send_list'];
  assert.deepEqual(
    ((await result()) as { status: number }[]).map(({ status }) => status),
    [0, 0],
  );
  assert.equal(shown(), 0);
  assert.equal(simulator.confirmTasks(), 1);
  assert.equal(shown(), 2);
  simulator.configure({ employeeConfirmsAfterMs: 1000, clockScale: 100 });
  await customers('add_msg_template', goodTask);
  const deadline = Date.now() + 5000;
  while (shown() < 4 && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(shown(), 4);
  const wrong = await customers('get_groupmsg_send_result', { msgid, userid: 'lisi' });
  assert.equal(wrong.errcode, 60111);
});

test('tasks are listed by time, in pages, without a creator', async () => {
  for (let at = 0; at < 3; at += 1) await customers('add_msg_template', goodTask);
  const now = Math.floor(Date.now() / 1000);
  const span = { chat_type: 'single', start_time: now - 60, end_time: now + 60, limit: 2 };
  const first = await customers('get_groupmsg_list_v2', span);
  const rest = await customers('get_groupmsg_list_v2', { ...span, cursor: first['next_cursor'] });
  const lengths = [first, rest].map((page) => (page['group_msg_list'] as unknown[]).length);
  assert.deepEqual([lengths, rest['next_cursor']], [[2, 1], '']);
  assert.ok(!('creator' in ((first['group_msg_list'] as object[])[0] ?? {})));
  const late = { ...span, start_time: now + 30 };
  assert.deepEqual((await customers('get_groupmsg_list_v2', late))['group_msg_list'], []);
  const long = { ...span, start_time: now - 40 * 86_400 };
  assert.equal((await customers('get_groupmsg_list_v2', long)).errcode, 40058);
});

test('a customer gets no more in a month than it has days', async () => {
  for (let at = 0; at < 32; at += 1)
    await customers('add_msg_template', { ...goodTask, external_userid: ['wmAAAAAAAA'] });
  simulator.confirmTasks();
  const date = new Date();
  const days = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  assert.equal(shown(), days);
});

test('a robot needs its key, a type, a size, and takes 20 in a minute', async () => {
  const { ops } = sandboxWecom.robots;
  const robot = (body: unknown, key: string = ops) => post(`webhook/send?key=${key}`, body);
  const text = { msgtype: 'text', text: { content: '您好' } };
  assert.equal((await robot(text, 'wrong')).errcode, 93000);
  assert.equal((await robot({ msgtype: 'none' })).errcode, 40008);
  assert.equal((await robot({ msgtype: 'text', text: {} })).errcode, 44004);
  const long = { msgtype: 'markdown', markdown: { content: 'x'.repeat(4097) } };
  assert.equal((await robot(long)).errcode, 40058);
  const badMention = { msgtype: 'text', text: { content: 'x', mentioned_list: 'all' } };
  assert.equal((await robot(badMention)).errcode, 40058);
  for (let at = 0; at < 20; at += 1) assert.equal((await robot(text)).errcode, 0);
  assert.equal((await robot(text)).errcode, 45009);
  assert.equal(shown(), 20);
});
