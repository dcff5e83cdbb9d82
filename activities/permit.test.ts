import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import type { RecipientWindow } from '../contracts/channel.ts';
import type { ConsentAction } from '../contracts/consents.ts';
import type { AcceptedMessage, AddressKind, To } from '../contracts/message.ts';
import { addressOf } from '../contracts/message.ts';
import type { Person } from '../contracts/people.ts';
import { problem } from '../contracts/problems.ts';
import { defaultTenantPolicy, type TenantPolicy } from '../contracts/tenant-policy.ts';
import { createLogger } from '../platform/logger.ts';
import type { ConsentPlace } from '../store/index.ts';
import { createPermit, type Permit, type PermitDeps } from './permit.ts';

const hash = (tenantId: string, to: To) => `${tenantId}/${addressOf(to).value}`;
const user: To = { userId: 'li' };
const phone: To = { phone: '13900001111' };
const email: To = { email: 'li@example.com' };
const night = { from: '22:00', to: '08:00', kinds: ['marketing' as const] };

/** What the stores hold; each test sets what it needs. */
let person: Person | undefined;
let suppressions: { to: To; channel: string }[] = [];
let optOuts: { to: To; channel: string }[] = [];
/** Newest words, by recipient. */
let consents: { to: To; action: ConsentAction; at: string }[] = [];
let asked: ConsentPlace[] = [];
let policy: TenantPolicy = defaultTenantPolicy;
let isAway = false;
let counted: { accountId: string; recipientHash: string; windows: readonly RecipientWindow[] }[] =
  [];
let admits: (accountId: string) => boolean = () => true;

const kindsOf = (...addressKinds: AddressKind[]) => ({ addressKinds });
const answer = async <T>(value: T): Promise<T> => {
  if (isAway) throw problem('store-unavailable');
  return value;
};
const deps: PermitDeps = {
  connectors: new Map([
    ['sms-test', kindsOf('phone')],
    ['email-test', kindsOf('email')],
    ['push-test', kindsOf('userId', 'deviceToken')],
  ]),
  policy: async () => policy,
  personOf: () => answer(person),
  suppressionsOf: (_tenantId, hashes) =>
    answer(
      suppressions
        .map(({ to, channel }) => ({
          recipientHash: hash('t', to),
          channel,
          reason: 'complaint',
          createdAt: '',
        }))
        .filter(({ recipientHash }) => hashes.includes(recipientHash)),
    ),
  isOptedOut: ({ channel, recipientHash }) =>
    answer(optOuts.some((one) => one.channel === channel && hash('t', one.to) === recipientHash)),
  consentsOf: (place, hashes) => {
    asked.push(place);
    const words = consents.map(({ to, action, at }) => [hash('t', to), { action, at }] as const);
    return answer(new Map(words.filter(([of]) => hashes.includes(of))));
  },
  admitRecipient: async (request) => {
    counted.push(request);
    assert.equal(request.deliveryKey, 'msg_1');
    return answer({ admitted: admits(request.accountId) });
  },
  hash,
  logger: createLogger('test', 'silent'),
};
const permit = createPermit(deps);

const ask = (to: To, more: Partial<AcceptedMessage> = {}) => {
  const channel = more.channel ?? 'sms';
  const message = {
    id: 'msg_1',
    tenantId: 't',
    kind: 'marketing',
    priority: 'bulk',
    channel,
    connector: `${channel}-test`,
    recipientHash: hash('t', to),
    ...more,
  };
  return permit(message as AcceptedMessage, to);
};
const seen = (given: Permit) => (given.next === 'go' ? ['go'] : [given.next, given.reason.code]);

beforeEach(() => {
  person = undefined;
  suppressions = [];
  optOuts = [];
  consents = [];
  asked = [];
  policy = defaultTenantPolicy;
  isAway = false;
  counted = [];
  admits = () => true;
});
afterEach(() => mock.timers.reset());

describe('a permit', () => {
  it('is given where nothing stands against it', async () => {
    assert.deepEqual(await ask(phone), { next: 'go' });
    assert.deepEqual(await ask(user, { channel: 'push' }), { next: 'go' });
    assert.deepEqual(await ask({ group: 'ops' }, { channel: 'gone' }), { next: 'go' });
  });

  it('is given to one-time passwords and critical messages whatever stands against it', async () => {
    person = { addresses: {}, preferences: { channels: { sms: false }, kinds: { notice: false } } };
    suppressions = [{ to: user, channel: '*' }];
    policy = {
      ...defaultTenantPolicy,
      quietHours: { from: '00:00', to: '23:59', kinds: ['notice'] },
      frequencyCaps: [{ kinds: ['notice'], count: 1, windowSeconds: 60 }],
    };
    admits = () => false;
    assert.deepEqual(await ask(user, { kind: 'otp' }), { next: 'go' });
    assert.deepEqual(await ask(user, { kind: 'notice', priority: 'critical' }), { next: 'go' });
    assert.equal(counted.length, 0);
    assert.deepEqual(seen(await ask(user, { kind: 'notice' })), ['end', 'suppressed']);
  });

  it('is refused for good to a suppressed recipient, for one channel where only that is', async () => {
    suppressions = [{ to: phone, channel: '*' }];
    assert.deepEqual(seen(await ask(phone, { kind: 'notice' })), ['end', 'suppressed']);
    suppressions = [{ to: phone, channel: 'sms' }];
    assert.deepEqual(seen(await ask(phone)), ['skip', 'suppressed']);
    suppressions = [{ to: phone, channel: 'email' }];
    assert.deepEqual(seen(await ask(phone)), ['go']);
  });

  it('finds a suppressed address behind a user, and lets another address of theirs do', async () => {
    person = { addresses: { phone: '13900001111', email: 'li@example.com' } };
    suppressions = [{ to: phone, channel: '*' }];
    assert.deepEqual(seen(await ask(user)), ['skip', 'suppressed']);
    assert.deepEqual(seen(await ask(user, { channel: 'email' })), ['go']);
    suppressions = [{ to: user, channel: 'email' }];
    assert.deepEqual(seen(await ask(user, { channel: 'email' })), ['skip', 'suppressed']);
    assert.deepEqual(seen(await ask(user)), ['go']);
  });

  it('goes by what a person prefers', async () => {
    person = {
      addresses: { phone: '13900001111' },
      preferences: { channels: { sms: false, email: true }, kinds: { notice: false } },
    };
    assert.deepEqual(seen(await ask(user)), ['skip', 'preference']);
    assert.deepEqual(seen(await ask(user, { channel: 'email' })), ['go']);
    const notice = await ask(user, { channel: 'email', kind: 'notice' });
    assert.deepEqual(seen(notice), ['end', 'preference']);
  });

  it('is refused to marketing where a person opted out of the channel, by user or by address', async () => {
    person = { addresses: { phone: '13900001111', email: 'li@example.com' } };
    optOuts = [
      { to: phone, channel: 'sms' },
      { to: email, channel: 'sms' },
    ];
    assert.deepEqual(seen(await ask(phone)), ['skip', 'opted-out']);
    assert.deepEqual(seen(await ask(user)), ['skip', 'opted-out']);
    assert.deepEqual(seen(await ask(user, { channel: 'email' })), ['go']);
    assert.deepEqual(seen(await ask(phone, { kind: 'notice' })), ['go']);
  });

  it('needs consent where the policy says so: granted, and not withdrawn since, by user or by address', async () => {
    const [first, second] = ['2026-11-01T00:00:00.000Z', '2026-11-02T00:00:00.000Z'] as const;
    person = { addresses: { phone: '13900001111', email: 'li@example.com' } };
    assert.deepEqual(seen(await ask(user)), ['go']);
    assert.equal(asked.length, 0, 'nobody asks where no consent is needed');
    policy = {
      ...defaultTenantPolicy,
      requiresConsent: [{ kinds: ['marketing'], channels: ['sms'] }, { kinds: ['notice'] }],
    };
    assert.deepEqual(seen(await ask(user)), ['skip', 'no-consent']);
    assert.deepEqual(asked, [{ tenantId: 't', purpose: 'marketing', channel: 'sms' }]);
    assert.deepEqual(seen(await ask(user, { channel: 'email' })), ['go']);
    assert.deepEqual(seen(await ask(email, { channel: 'email', kind: 'notice' })), [
      'skip',
      'no-consent',
    ]);
    assert.deepEqual(seen(await ask(user, { kind: 'otp' })), ['go']);
    assert.deepEqual(seen(await ask(user, { kind: 'notice', priority: 'critical' })), ['go']);

    consents = [{ to: phone, action: 'granted', at: first }];
    assert.deepEqual(seen(await ask(user)), ['go']);
    assert.deepEqual(seen(await ask(phone)), ['go']);
    consents = [...consents, { to: user, action: 'withdrawn', at: second }];
    assert.deepEqual(seen(await ask(user)), ['skip', 'consent-withdrawn']);
    assert.deepEqual(seen(await ask(phone)), ['go'], 'of the address alone nothing was withdrawn');
    consents = [
      { to: phone, action: 'granted', at: second },
      { to: user, action: 'withdrawn', at: first },
    ];
    assert.deepEqual(seen(await ask(user)), ['go']);
    consents = consents.map((word) => ({ ...word, at: first }));
    assert.deepEqual(seen(await ask(user)), ['skip', 'consent-withdrawn']);
  });

  it('waits for the end of quiet hours: of the message’s zone, else the person’s, else the policy’s', async () => {
    mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 10, 21, 15, 0) });
    policy = { ...defaultTenantPolicy, quietHours: night };
    const until = async (to: To, more: Partial<AcceptedMessage> = {}) => {
      const given = await ask(to, more);
      return given.next === 'hold' ? [given.until, given.reason.code] : given.next;
    };
    assert.deepEqual(await until(phone), ['2026-11-22T00:00:00.000Z', 'quiet-hours']);
    assert.equal(await until(phone, { kind: 'notice' }), 'go');
    person = { addresses: { phone: '13900001111' }, timeZone: 'Asia/Tokyo' };
    assert.deepEqual(await until(user), ['2026-11-21T23:00:00.000Z', 'quiet-hours']);
    assert.equal(await until(user, { timeZone: 'Europe/Berlin' }), 'go');
    const unknown = await until(user, { timeZone: 'Europe/Atlantis' });
    assert.deepEqual(unknown, ['2026-11-21T23:00:00.000Z', 'quiet-hours']);
  });

  it('counts against the caps of its kind, and only what everything else lets go', async () => {
    const cap = (count: number, windowSeconds: number, ...kinds: ('marketing' | 'notice')[]) => ({
      kinds,
      count,
      windowSeconds,
    });
    policy = {
      ...defaultTenantPolicy,
      frequencyCaps: [
        cap(2, 3600, 'marketing'),
        cap(5, 86_400, 'marketing'),
        cap(9, 86_400, 'notice', 'marketing'),
        cap(1, 60, 'notice'),
      ],
    };
    assert.deepEqual(seen(await ask(user)), ['go']);
    assert.deepEqual(
      counted.map(({ windows }) => windows.map(({ count }) => count)),
      [[2, 5], [9]],
    );
    for (const { accountId, recipientHash } of counted) {
      assert.match(accountId, /^cap-[0-9a-f]{24}$/);
      assert.equal(recipientHash, 't/li');
    }
    assert.equal(new Set(counted.map(({ accountId }) => accountId)).size, 2);
    admits = (accountId) => accountId === counted[0]?.accountId;
    assert.deepEqual(seen(await ask(user)), ['end', 'frequency-capped']);
    counted = [];
    suppressions = [{ to: user, channel: 'sms' }];
    await ask(user);
    assert.equal(counted.length, 0);
  });

  it('waits for the database with marketing, and lets notices go without it', async () => {
    isAway = true;
    await assert.rejects(ask(phone), { code: 'store-unavailable' });
    assert.deepEqual(seen(await ask(phone, { kind: 'notice' })), ['go']);
    const requiresConsent = [{ kinds: ['marketing' as const, 'notice' as const] }];
    policy = { ...defaultTenantPolicy, requiresConsent };
    await assert.rejects(ask(phone), { code: 'store-unavailable' });
    assert.deepEqual(seen(await ask(phone, { kind: 'notice' })), ['go']);
  });
});
