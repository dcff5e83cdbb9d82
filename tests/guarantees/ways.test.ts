/** The ways of a message: its language, channels in turn, accounts in turn, and when it may begin. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  connectors: ['push-huawei', 'inbox-builtin'],
  sandbox: {
    smsAliyun: {
      signatures: ['消息中心', 'Message Center'],
      settings: { windows: null, receiptsPaused: true },
    },
  },
});
const { smsAliyun, pushHuawei } = system.sandbox;
let serial = 0;
const phone = () => `1360000${String((serial += 1)).padStart(4, '0')}`;
const post = async (message: object) => {
  const answer = await system.call('POST', '/v1/messages', {
    template: 'plain-notice',
    variables: { text: `ways ${(serial += 1)}` },
    ...message,
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
const person = async () => {
  const userId = `u-ways-${(serial += 1)}`;
  const deviceToken = `huawei-device-token-${userId}`;
  const answer = await system.call('POST', `/v1/users/${userId}/devices`, {
    connector: 'push-huawei',
    deviceToken,
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return { userId, deviceToken };
};
const inInbox = async (userId: string) =>
  ((await system.call('GET', `/v1/inbox/${userId}/items`)).body['items'] as unknown[]).length;
const pushed = (token: string) => pushHuawei.device.find({ where: { to: token } }).entries.length;
const channels = ['push', 'inbox'];

describe('a template in several languages', () => {
  const contentOf = (signName: string, templateCode: string, params: object) => ({
    'sms-aliyun': { signName, templateCode, params, text: '{{orderId}}' },
  });
  const texts = {
    'zh-CN': '【消息中心】您的订单SO-1已发货。',
    ja: '【消息中心】SO-1 を発送しました',
    en: '【Message Center】SO-1 is on its way',
  };
  const read = (to: string) =>
    smsAliyun.device.find({ where: { phone: to } }).entries.map(({ text }) => text);

  it('reaches each person in theirs, alone, in a chunk and in a batch, and says so', async () => {
    const created = await system.admin('POST', '/v1/templates', {
      tenantId: system.tenantId,
      name: 'shipped',
      kind: 'notice',
      variables: { orderId: { type: 'string', maxLength: 20 } },
      locale: 'zh-CN',
      contents: contentOf('消息中心', 'SMS_1002', { orderId: '{{orderId}}' }),
      locales: {
        ja: contentOf('消息中心', 'SMS_1003', { text: '{{orderId}} を発送しました' }),
        en: contentOf('Message Center', 'SMS_1003', { text: '{{orderId}} is on its way' }),
      },
    });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    const policy = await system.admin(
      'PUT',
      `/v1/tenants/${system.tenantId}/policy`,
      { timeZone: 'Asia/Shanghai', locale: 'en' },
      { 'if-match': '"1"' },
    );
    assert.equal(policy.status, 200, JSON.stringify(policy.body));
    await pause(2000);
    const [byPerson, ...others] = Array.from({ length: 8 }, phone);
    const person = { addresses: { phone: byPerson }, locale: 'ja-JP' };
    assert.equal((await system.call('PUT', '/v1/users/u-ja', person)).status, 200);
    const message = { template: 'shipped', variables: { orderId: 'SO-1' }, priority: 'bulk' };

    type Told = readonly [phone: string, locale: keyof typeof texts, from: string, id: string];
    const told: Told[] = [];
    const [single = '', own = '', wide = '', none = '', first = '', second = '', third = ''] =
      others;
    const alone = [
      [byPerson ?? '', { to: { userId: 'u-ja' }, channel: 'sms' }, 'ja', 'person'],
      [single, { to: { phone: single }, locale: 'ja' }, 'ja', 'message'],
      [own, { to: { phone: own }, locale: 'zh-cn' }, 'zh-CN', 'message'],
    ] as const;
    for (const [to, more, locale, from] of alone)
      told.push([to, locale, from, await post({ ...message, ...more })]);

    const chunk = [
      [wide, { locale: 'ja-Hira-JP' }, 'ja', 'message'],
      [none, {}, 'en', 'tenant'],
    ] as const;
    const messages = chunk.map(([to, more]) => ({ ...message, to: { phone: to }, ...more }));
    const answer = await system.call('POST', '/v1/messages/batch', { messages });
    const ids = (answer.body['results'] as { id: string }[]).map(({ id }) => id);
    for (const [at, [to, , locale, from]] of chunk.entries())
      told.push([to, locale, from, ids[at] ?? '']);

    const { body: batch } = await system.call('POST', '/v1/batches', {
      template: 'shipped',
      locale: 'ja',
    });
    const path = `/v1/batches/${String(batch['id'])}`;
    const csv = `phone,orderId,locale\n${first},SO-1,zh-CN\n${second},SO-1,\n${third},SO-1,fr\n`;
    const uploaded = await fetch(`http://127.0.0.1:${system.config.ingestPort}${path}/recipients`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${system.key}`, 'content-type': 'text/csv' },
      body: csv,
    });
    assert.equal(uploaded.status, 200);
    assert.equal((await system.call('POST', `${path}/start`, {})).status, 200);

    for (const [to, locale, from, id] of told) {
      const status = await system.untilStatus(id, ['sent', 'failed'], 40_000);
      assert.deepEqual(
        [status['status'], status['locale'], status['localeFrom'], ...read(to)],
        ['sent', locale, from, texts[locale]],
        JSON.stringify(status),
      );
    }
    const members = [
      [first, 'zh-CN', 'message'],
      [second, 'ja', 'message'],
      [third, 'en', 'tenant'],
    ] as const;
    for (const [to, locale, from] of members) {
      const found = await until('it is found by its language', async () => {
        const query = `locale=${locale}&batch=${String(batch['id'])}&status=sent`;
        const { body } = await system.call('GET', `/v1/messages?${query}`);
        return (body['items'] as Record<string, unknown>[])[0];
      });
      assert.deepEqual([found['localeFrom'], ...read(to)], [from, texts[locale]]);
    }
  });
});

describe('channels in turn', () => {
  it('a channel that cannot reach the person leads to the next', async () => {
    const userId = 'u-no-device';
    const id = await post({ to: { userId }, channels });
    const status = await system.untilStatus(id, ['sent', 'failed']);
    assert.deepEqual([status['status'], status['channel']], ['sent', 'inbox']);
    assert.equal(await inInbox(userId), 1);
  });

  it('a receipt in time ends it: no second channel', async () => {
    pushHuawei.configure({ receiptMedianMs: 100, receiptP99Ms: 200 });
    const { userId, deviceToken } = await person();
    const id = await post({ to: { userId }, channels, fallbackAfter: 20 });
    const status = await system.untilStatus(id, ['delivered', 'sent', 'failed'], 40_000);
    assert.deepEqual([status['status'], status['channel']], ['delivered', 'push']);
    assert.equal(pushed(deviceToken), 1);
    assert.equal(await inInbox(userId), 0);
  });

  it('no receipt in time leads on; one that comes later still counts', async () => {
    pushHuawei.configure({ receiptsPaused: true });
    const { userId, deviceToken } = await person();
    const id = await post({ to: { userId }, channels, fallbackAfter: 5 });
    const waiting = await until('it waits for the receipt', async () => {
      const { body } = await system.call('GET', `/v1/messages/${id}`);
      const code = (body['reason'] as { code?: string } | undefined)?.code;
      return code === 'awaiting-receipt' ? body : undefined;
    });
    assert.equal(waiting['status'], 'sending');
    assert.equal(pushed(deviceToken), 1);
    const status = await system.untilStatus(id, ['sent', 'failed'], 30_000);
    assert.deepEqual([status['status'], status['channel']], ['sent', 'inbox']);
    assert.equal(await inInbox(userId), 1);
    assert.equal(status['attempts'], 2);
    await until('the timeline tells of both calls', async () => {
      const { body } = await system.call('GET', `/v1/messages/${id}`);
      const numbers = (body['timeline'] as { number: number }[]).map(({ number }) => number);
      return numbers.join() === '1,2' || undefined;
    });
    pushHuawei.configure({ receiptsPaused: false });
    await system.untilStatus(id, ['delivered'], 40_000);
  });

  it('a channel that brings no receipts is not waited for: the request is refused', async () => {
    const answer = await system.call('POST', '/v1/messages', {
      to: { userId: 'u-1' },
      template: 'plain-notice',
      variables: { text: 'x' },
      channels: ['inbox', 'push'],
      fallbackAfter: 30,
    });
    assert.equal(answer.status, 422);
    const [fault] = answer.body['errors'] as { pointer: string }[];
    assert.equal(fault?.pointer, '/fallbackAfter');
  });
});

describe('accounts in turn', () => {
  it('share messages by weight, and take over from one that is at fault without a burnt attempt', async (t) => {
    smsAliyun.registerCredential('second', 'second-secret');
    const first = await system.admin('GET', `/v1/channel-accounts/${system.accountId}`);
    const created = await system.admin('POST', `/v1/channel-accounts`, {
      tenantId: system.tenantId,
      name: 'sms-second',
      connector: 'sms-aliyun',
      settings: first.body['settings'],
      secrets: {
        accessKeyId: 'second',
        accessKeySecret: 'second-secret',
        receiptToken: system.receiptToken,
      },
      ratePerSecond: 100,
      weight: 3,
    });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    const second = String(created.body['id']);
    await until('the second account is served', async () => {
      const { body } = await system.admin('GET', `/v1/channel-accounts/${second}`);
      return body['limitInForce'] === 100 || undefined;
    });
    await pause(2000);
    const send = async (count: number, more: object = {}) => {
      const phones = Array.from({ length: count }, phone);
      const ids = await Promise.all(phones.map((to) => post({ to: { phone: to }, ...more })));
      const ends = [];
      for (const id of ids) ends.push(await system.untilStatus(id, ['sent', 'failed'], 60_000));
      for (const to of phones) assert.equal(smsAliyun.device.count('phone', to), 1, to);
      return ends;
    };
    const shared = await send(60);
    const throughSecond = shared.filter(({ accountId }) => accountId === second).length;
    t.diagnostic(`weights 1 and 3: ${60 - throughSecond} and ${throughSecond} of 60`);
    assert.ok(throughSecond > 30 && throughSecond < 60, `${throughSecond}`);

    smsAliyun.revokeCredential('second');
    const beganAt = Date.now();
    const afterFault = await send(30, { priority: 'critical' });
    t.diagnostic(`30 messages with one of two accounts at fault: ${Date.now() - beganAt} ms`);
    for (const end of afterFault) {
      assert.equal(end['status'], 'sent', JSON.stringify(end));
      assert.equal(end['accountId'], system.accountId);
      assert.equal(end['attempts'], 1, 'refused calls burn no attempt');
    }
    smsAliyun.registerCredential('second', 'second-secret');
  });
});

describe('sendAt', () => {
  it('nothing is sent before; the life counts from then; it is recalled like any other', async (t) => {
    const to = phone();
    const sendAt = new Date(Date.now() + 6000).toISOString();
    const id = await post({ to: { phone: to }, sendAt, expiresIn: 10 });
    const recalledTo = phone();
    const recalledId = await post({ to: { phone: recalledTo }, sendAt });
    const status = await system.untilStatus(id, ['scheduled']);
    assert.ok(Math.abs(Date.parse(String(status['nextAttemptAt'])) - Date.parse(sendAt)) <= 1000);
    await system.untilStatus(recalledId, ['scheduled']);
    const recall = await system.call('POST', `/v1/messages/${recalledId}/recall`);
    assert.deepEqual([recall.status, recall.body['status']], [200, 'recalled']);
    await system.untilStatus(id, ['sent'], 30_000);
    const [entry] = smsAliyun.accepted.find({ where: { phone: to } }).entries;
    const lateMs = (entry?.at ?? 0) - Date.parse(sendAt);
    t.diagnostic(`sent ${lateMs} ms after its time`);
    assert.ok(lateMs >= 0, `${-lateMs} ms too early`);
    assert.equal(smsAliyun.device.count('phone', recalledTo), 0);
  });
});
