/** People: where a user is reached, what they want, and when a tenant writes to them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { lookAgainSignal } from '../../contracts/workflows.ts';
import { until } from '../stack.ts';
import { startSystem, type Answer } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  connectors: ['email-smtp', 'inbox-builtin'],
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun, emailSmtp } = system.sandbox;
smsAliyun.registerTemplate({
  templateCode: 'SMS_2002',
  text: '${text} 拒收请回复R',
  kind: 'marketing',
});
await system.store.templates.create(system.tenantId, {
  name: 'campaign',
  kind: 'marketing',
  variables: { text: { type: 'string' } },
  contents: {
    'sms-aliyun': {
      signName: '消息中心',
      templateCode: 'SMS_2002',
      params: { text: '{{text}}' },
    },
    'email-smtp': { subject: '{{text}}', text: '{{text}}' },
  },
});

let serial = 0;
const newPerson = () => {
  serial += 1;
  const four = String(serial).padStart(4, '0');
  return { userId: `u-people-${four}`, phone: `1350000${four}`, email: `p${four}@example.com` };
};
const register = async (userId: string, person: object) => {
  const answer = await system.call('PUT', `/v1/users/${userId}`, person);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
};
const post = async (to: object, more: object = {}) => {
  const answer = await system.call('POST', '/v1/messages', {
    to,
    template: 'plain-notice',
    variables: { text: `people ${(serial += 1)}` },
    ...more,
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
const ends = ['sent', 'delivered', 'failed', 'suppressed', 'expired'];
/** Status, channel, and the code of its reason. */
const endOf = async (id: string) => {
  const { status, channel, reason } = await system.untilStatus(id, ends);
  return [status, channel, (reason as { code: string } | undefined)?.code];
};
const texted = (phone: string) => smsAliyun.device.count('phone', phone);
const mailed = (to: string) => emailSmtp.device.find({ where: { to } }).entries.length;
const pointers = ({ body }: Answer) =>
  ((body['errors'] ?? []) as { pointer: string }[]).map(({ pointer }) => pointer);
const campaign = { template: 'campaign', variables: { text: 'sale' } };
const setPolicy = async (policy: object) => {
  const path = `/v1/tenants/${system.tenantId}/policy`;
  const etag = (await system.admin('GET', path)).headers.get('etag') ?? '';
  const answer = await system.admin(
    'PUT',
    path,
    { timeZone: 'Asia/Shanghai', ...policy },
    { 'if-match': etag },
  );
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  // What is promised of an edit.
  await new Promise((resolve) => setTimeout(resolve, 2000));
};

describe('a person', () => {
  it('is as registered until forgotten', async () => {
    const { userId, phone } = newPerson();
    const path = `/v1/users/${userId}`;
    assert.equal((await system.call('GET', path)).status, 404);
    const person = {
      addresses: { phone },
      timeZone: 'Asia/Shanghai',
      preferences: { channels: { sms: false }, kinds: { marketing: false } },
    };
    await register(userId, person);
    const found = await system.call('GET', path);
    assert.deepEqual([found.status, found.body], [200, person]);
    assert.equal(found.headers.get('cache-control'), 'no-store');
    assert.equal((await system.call('DELETE', path)).status, 204);
    assert.equal((await system.call('DELETE', path)).status, 404);
    assert.equal((await system.call('GET', path)).status, 404);
  });

  it('is refused with the field that is at fault', async () => {
    const addresses = {};
    const bad: [person: unknown, pointer: string][] = [
      [{}, '/addresses'],
      [{ addresses: { phone: '12' } }, '/addresses/phone'],
      [{ addresses: { email: 'li' } }, '/addresses/email'],
      [{ addresses: { userId: 'li' } }, '/addresses/userId'],
      [{ addresses, timeZone: 'Asia/Atlantis' }, '/timeZone'],
      [{ addresses, timeZone: '+08:00' }, '/timeZone'],
      [{ addresses, preferences: { channels: { pigeon: false } } }, '/preferences/channels/pigeon'],
      [{ addresses, preferences: { channels: { sms: 'no' } } }, '/preferences/channels/sms'],
      [{ addresses, preferences: { kinds: { otp: false } } }, '/preferences/kinds/otp'],
      [{ addresses, name: 'Li Lei' }, '/name'],
    ];
    for (const [person, pointer] of bad) {
      const answer = await system.call('PUT', '/v1/users/u-bad', person);
      assert.deepEqual([answer.status, pointers(answer)], [422, [pointer]]);
    }
    const user = await system.call('PUT', '/v1/users/%20bad', { addresses });
    assert.deepEqual([user.status, pointers(user)], [422, ['path/userId']]);
    assert.equal((await system.call('GET', '/v1/users/u-bad')).status, 404);
  });

  it('is reached at the address that the channel takes, and as it is registered by then', async () => {
    const { userId, phone, email } = newPerson();
    await register(userId, { addresses: { phone, email } });
    assert.deepEqual(await endOf(await post({ userId }, { channel: 'sms' })), [
      'sent',
      'sms',
      undefined,
    ]);
    assert.equal(texted(phone), 1);
    assert.deepEqual((await endOf(await post({ userId }, { channel: 'email' }))).slice(0, 2), [
      'sent',
      'email',
    ]);
    assert.equal(mailed(email), 1);
    const next = newPerson();
    await register(userId, { addresses: { phone: next.phone } });
    await endOf(await post({ userId }, { channel: 'sms' }));
    assert.deepEqual([texted(phone), texted(next.phone)], [1, 1]);
  });

  it('without an address for the channel is reached through the next one, or the end says so', async () => {
    const { userId, email } = newPerson();
    await register(userId, { addresses: { email } });
    const channels = ['sms', 'email'];
    assert.deepEqual((await endOf(await post({ userId }, { channels }))).slice(0, 2), [
      'sent',
      'email',
    ]);
    const only = await endOf(await post({ userId }, { channel: 'sms' }));
    assert.deepEqual(only, ['failed', 'sms', 'no-address']);
  });

  it('gets nothing through a channel they do not want, and no kind they do not want', async () => {
    const { userId, phone, email } = newPerson();
    const preferences = { channels: { sms: false }, kinds: { marketing: false } };
    await register(userId, { addresses: { phone, email }, preferences });
    const channels = ['sms', 'email'];
    assert.deepEqual((await endOf(await post({ userId }, { channels }))).slice(0, 2), [
      'sent',
      'email',
    ]);
    const marketing = await endOf(await post({ userId }, { ...campaign, channel: 'email' }));
    assert.deepEqual(marketing, ['suppressed', 'email', 'preference']);
    const code = { template: 'login-code', variables: { code: '493817' } };
    assert.equal((await endOf(await post({ userId }, code)))[0], 'sent');
    assert.deepEqual([texted(phone), mailed(email)], [1, 1]);
  });
});

describe('a suppressed address', () => {
  it('is refused with the field that is at fault', async () => {
    const to = { phone: '13900001111' };
    const bad: [body: unknown, pointer: string][] = [
      [{ to }, '/reason'],
      [{ to: { phone: '1' }, reason: 'x' }, '/to/phone'],
      [{ to, reason: 'Complained by phone 13900001111' }, '/reason'],
      [{ to, channel: 'pigeon', reason: 'x' }, '/channel'],
      [{ to, channel: '*', reason: 'x' }, '/channel'],
    ];
    for (const [body, pointer] of bad) {
      const answer = await system.call('PUT', '/v1/suppressions', body);
      assert.deepEqual([answer.status, pointers(answer)], [422, [pointer]]);
    }
  });

  it('gets critical messages only, however it is spelled, until it is suppressed no more', async () => {
    const { phone } = newPerson();
    const to = { phone: `+86${phone}` };
    const put = await system.call('PUT', '/v1/suppressions', { to, reason: 'complaint' });
    assert.equal(put.status, 200, JSON.stringify(put.body));
    const query = async () =>
      (await system.call('POST', '/v1/suppressions/query', { to: { phone } })).body['items'];
    assert.deepEqual(await query(), [put.body]);
    assert.deepEqual(await endOf(await post({ phone })), ['suppressed', 'sms', 'suppressed']);
    const code = { template: 'login-code', variables: { code: '493817' } };
    assert.equal((await endOf(await post({ phone }, code)))[0], 'sent');
    assert.equal((await endOf(await post({ phone }, { priority: 'critical' })))[0], 'sent');
    const remove = () => system.call('POST', '/v1/suppressions/remove', { to });
    assert.equal((await remove()).status, 204);
    assert.equal((await remove()).status, 404);
    assert.deepEqual(await query(), []);
    assert.equal((await endOf(await post({ phone })))[0], 'sent');
    assert.equal(texted(phone), 3);
  });

  it('behind a user lets another channel do', async () => {
    const { userId, phone, email } = newPerson();
    await register(userId, { addresses: { phone, email } });
    await system.call('PUT', '/v1/suppressions', { to: { phone }, reason: 'hard-bounce' });
    const channels = ['sms', 'email'];
    assert.deepEqual((await endOf(await post({ userId }, { channels }))).slice(0, 2), [
      'sent',
      'email',
    ]);
    assert.equal(texted(phone), 0);
  });
});

describe('a tenant’s policy', () => {
  it('holds marketing through quiet hours, and lets it go when they are over', async () => {
    const { phone } = newPerson();
    // Around now in the recipient's zone, which is the message's.
    const clock = (ms: number) => new Date(ms).toISOString().slice(11, 16);
    const [from, to] = [clock(Date.now() - 3_600_000), clock(Date.now() + 3_600_000)];
    await setPolicy({ quietHours: { from, to, kinds: ['marketing'] } });
    const id = await post({ phone }, { ...campaign, timeZone: 'UTC', expiresIn: 600 });
    const held = await until('it is held, and the index says why', async () => {
      const { body } = await system.call('GET', `/v1/messages/${id}`);
      return body['reason'] === undefined ? undefined : body;
    });
    assert.equal(held['status'], 'held');
    assert.equal((held['reason'] as { code: string }).code, 'quiet-hours');
    assert.equal(String(held['nextAttemptAt']).slice(11, 16), to);
    assert.equal((await endOf(await post({ phone })))[0], 'sent', 'a notice passes');
    const elsewhere = await post({ phone }, { ...campaign, timeZone: 'Asia/Tokyo' });
    assert.equal((await endOf(elsewhere))[0], 'sent', 'it is not quiet there');
    assert.equal(texted(phone), 2);
    await setPolicy({});
    await system.temporal.client.workflow.getHandle(id).signal(lookAgainSignal);
    assert.equal((await endOf(id))[0], 'sent');
    assert.equal(texted(phone), 3);
  });

  it('needs consent for marketing, which is asked again last thing before it is sent', async () => {
    const { phone } = newPerson();
    const to = { phone };
    const word = { to, purpose: 'marketing', channel: 'sms', source: 'web-form' };
    const record = async (body: object) => {
      const answer = await system.call('POST', '/v1/consents', { ...word, ...body });
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
    };
    await setPolicy({ requiresConsent: [{ kinds: ['marketing'], channels: ['sms'] }] });
    assert.deepEqual(await endOf(await post(to, campaign)), ['suppressed', 'sms', 'no-consent']);
    assert.equal((await endOf(await post(to)))[0], 'sent', 'a notice needs none');
    await record({ action: 'granted', textVersion: '2026-11' });
    assert.equal((await endOf(await post(to, campaign)))[0], 'sent');
    const sendAt = new Date(Date.now() + 3000).toISOString();
    const scheduled = await post(to, { ...campaign, sendAt });
    await record({ action: 'withdrawn' });
    const withdrawn = ['suppressed', 'sms', 'consent-withdrawn'];
    assert.deepEqual(await endOf(scheduled), withdrawn);
    assert.deepEqual(await endOf(await post(to, campaign)), withdrawn);
    assert.equal(texted(phone), 2);
    await setPolicy({});
    assert.deepEqual(await endOf(await post(to, campaign)), ['suppressed', 'sms', 'opted-out']);
  });

  it('caps how often a recipient gets marketing', async () => {
    const { userId, phone, email } = newPerson();
    await register(userId, { addresses: { phone, email } });
    const cap = { kinds: ['marketing'], count: 2, windowSeconds: 3600 };
    await setPolicy({ frequencyCaps: [cap] });
    const statuses = [];
    for (const channel of ['sms', 'email', 'sms', 'email'])
      statuses.push(await endOf(await post({ userId }, { ...campaign, channel })));
    assert.deepEqual(
      statuses.map(([status, , code]) => code ?? status),
      ['sent', 'sent', 'frequency-capped', 'frequency-capped'],
    );
    assert.equal((await endOf(await post({ userId }, { channel: 'sms' })))[0], 'sent');
    assert.deepEqual([texted(phone), mailed(email)], [2, 1]);
    await setPolicy({});
  });
});
