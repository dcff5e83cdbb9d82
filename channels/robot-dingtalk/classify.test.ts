import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { OutcomeClass, SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { answerCodes, classifyAnswer } from './classify.ts';

const context = { to: { group: 'ops-eu' }, deliveryKey: 'key', nowMs: 0, random: 0.5 };
const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  classifyAnswer(
    {
      kind: 'answer',
      status,
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    },
    context,
  );

/** Every code, with a text as it was seen or is documented, and what it must come to. */
const known: readonly [number, string, OutcomeClass, Partial<Record<string, unknown>>?][] = [
  [0, 'ok', 'accepted', { providerId: 'key' }],
  [-1, '系统繁忙', 'transient'],
  [404, '请求的URI地址不存在', 'auth-invalid'],
  [40035, '缺少参数 json', 'content-rejected'],
  [43002, '需要POST请求', 'content-rejected'],
  [43004, '无效的HTTP HEADER Content-Type', 'content-rejected'],
  [101002, 'message is too long', 'content-rejected'],
  [
    130101,
    'send too fast, exceed 20 times per minute',
    'rate-limited',
    { scope: 'recipient', retryAfterMs: 600_000 },
  ],
  [300001, 'token is not exist', 'auth-invalid'],
  [300001, 'param error', 'content-rejected'],
  [300001, 'message msgtype not support', 'content-rejected'],
  [300005, 'token is not exist', 'auth-invalid'],
  [310000, 'sign not match, more: [https://ding-doc.dingtalk.com/doc]', 'auth-invalid'],
  [310000, 'invalid timestamp', 'auth-invalid'],
  [310000, 'ip 203.0.113.7 not in whitelist', 'auth-invalid'],
  [310000, 'keywords not in content', 'content-rejected'],
  [310000, 'description:关键词不匹配;solution:请联系群管理员', 'content-rejected'],
  [400013, '群已被解散', 'recipient-invalid'],
  [400101, 'access_token不存在', 'auth-invalid'],
  [400102, '机器人已停用', 'auth-invalid'],
  [400105, '不支持的消息类型', 'content-rejected'],
  [400106, '机器人不存在', 'recipient-invalid'],
  [410100, '发送速度太快而限流', 'rate-limited', { scope: 'recipient', retryAfterMs: 600_000 }],
  [430101, '含有不安全的外链', 'content-rejected'],
  [430102, '含有不合适的文本', 'content-rejected'],
  [430103, '含有不合适的图片', 'content-rejected'],
  [430104, '含有不合适的内容', 'content-rejected'],
  [460101, 'message too long, exceed 20000 bytes', 'content-rejected'],
  [987654, 'something new', 'transient'],
];
for (const [errcode, errmsg, outcome, more = {}] of known)
  test(`${errcode} ${errmsg} is ${outcome}`, () => {
    const got: Record<string, unknown> = { ...answer(200, { errcode, errmsg }) };
    assert.equal(got['class'], outcome);
    assert.equal(got['providerCode'], String(errcode));
    for (const [field, value] of Object.entries(more)) assert.equal(got[field], value, field);
  });

test('every row of the table is tried above', () => {
  const tried = new Set(known.map(([errcode]) => String(errcode)));
  for (const row of Object.keys(answerCodes)) assert.ok(tried.has(row), row);
});

test('the gateway answers with more fields than the robot', () => {
  const gateway = { status: 1111, wait: 5, source: 'x5', punish: 'deny', uuid: 'u' };
  const limited = { errcode: 130101, errmsg: 'send too fast, exceed 20 times per minute' };
  assert.equal(answer(200, { ...gateway, ...limited }).class, 'rate-limited');
});

test('a server error is ambiguous unless its code is a refusal', () => {
  const of = (status: number, errcode: number) => answer(status, { errcode, errmsg: 'm' }).class;
  assert.deepEqual([of(500, 0), of(503, -1), of(500, 987654)], Array(3).fill('ambiguous'));
  assert.equal(of(500, 400013), 'recipient-invalid');
});

test('what is not the API is judged by its status', () => {
  const expected: Record<number, OutcomeClass> = {
    200: 'ambiguous',
    302: 'auth-invalid',
    400: 'transient',
    404: 'auth-invalid',
    429: 'rate-limited',
    500: 'ambiguous',
    502: 'ambiguous',
  };
  for (const [status, outcome] of Object.entries(expected))
    for (const body of ['<html></html>', '', '{}', '{"errcode":"0"}', 'null', '{"errcode":0'])
      assert.equal(answer(Number(status), body).class, outcome, `${status} ${body}`);
  const limited: SendOutcome = answer(429, '', { 'retry-after': '9' });
  assert.equal(limited.class === 'rate-limited' && limited.retryAfterMs, 9000);
});

test('not sent is transient, lost is ambiguous', () => {
  const classes = (['not-sent', 'lost'] as const).map((kind) => {
    const lost: ProviderAnswer = { kind, cause: 'x' };
    return classifyAnswer(lost, context).class;
  });
  assert.deepEqual(classes, ['transient', 'ambiguous']);
});

test("the group's name does not come through", () => {
  const { providerMessage } = answer(200, { errcode: 400013, errmsg: 'no group ops-eu' });
  assert.equal(providerMessage, 'no group ***');
});

test('an inherited property name is no code', () => {
  assert.equal(answer(200, '{"errcode":"constructor"}').class, 'ambiguous');
});

test('the document shows every code as classify.ts has it', () => {
  const page = readFileSync(
    new URL('../../docs/channels/robot-dingtalk.md', import.meta.url),
    'utf8',
  );
  const table = page.split('<!-- answer codes -->')[1]?.split('<!-- end -->')[0] ?? '';
  const rows = [...table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm)];
  assert.deepEqual(
    Object.fromEntries(rows.map(([, code = '', outcome = '']) => [code, outcome])),
    answerCodes,
  );
});
