/** What the conformance suite does not see: sessions, streams, GOAWAY, tokens and TLS. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { generate } from 'selfsigned';
import type { ProviderTokens } from '../../contracts/channel.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { demoPushApns, sandboxPushApns } from './demo.ts';
import { createPushApns } from './index.ts';
import { apnsIdOf } from './message.ts';
import { createPushApnsSimulator, type PushApnsSimulatorOptions } from './simulator.ts';

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.toReversed()) await close();
});

interface Setting {
  readonly simulator?: Partial<PushApnsSimulatorOptions>;
  readonly settings?: object;
  readonly allowPrivateProviders?: boolean;
  readonly now?: () => number;
}

/** A simulator of its own and a client of it. */
async function start(setting: Setting = {}) {
  const simulator = createPushApnsSimulator({ ...sandboxPushApns, ...setting.simulator });
  const listener = await simulator.listen({ host: '127.0.0.1', port: 0 });
  const { settings, secrets } = demoPushApns.account({ url: listener.url, receiptToken: '' });
  const shared = createProviderTokens(setting.now === undefined ? {} : { now: setting.now });
  let minted = 0;
  const current: ProviderTokens['current'] = (key, fetch) =>
    shared.current(key, () => {
      minted += 1;
      return fetch();
    });
  const client = createPushApns({
    allowPrivateProviders: setting.allowPrivateProviders ?? true,
    tokens: { ...shared, current },
    ...(setting.now !== undefined && { now: setting.now }),
  }).createClient({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: { ...(settings as object), ...setting.settings },
    secrets,
  });
  closers.push(
    () => listener.close(),
    () => client.close(),
  );
  let sent = 0;
  const send = (change: object = {}): Promise<SendOutcome> => {
    sent += 1;
    return client.send({
      to: { deviceToken: `b2${sent.toString(16).padStart(62, '0')}` },
      content: { title: 't', body: 'b', ...change },
      deliveryKey: `msg_${String(sent).padStart(26, '0')}.0.${'0'.repeat(16)}`,
      signal: new AbortController().signal,
    });
  };
  const sendMany = (count: number) => Promise.all(Array.from({ length: count }, () => send()));
  return { simulator, listener, client, send, sendMany, minted: () => minted };
}

const classes = (outcomes: readonly SendOutcome[]) => outcomes.map((outcome) => outcome.class);

test('one stream until the first success, then as many as the server allows', async () => {
  const { simulator, sendMany } = await start({
    simulator: { settings: { maxConcurrentStreams: 7, latencyMedianMs: 5, latencyP99Ms: 10 } },
  });
  assert.deepEqual(new Set(classes(await sendMany(60))), new Set(['accepted']));
  const { before, after: later } = simulator.peakStreams();
  assert.equal(before, 1);
  assert.ok(later > 1 && later <= 7, `${later} streams at once`);
});

test('GOAWAY before a push was looked at is transient, after it ambiguous; then a new session', async () => {
  const { simulator, send } = await start();
  assert.equal((await send()).class, 'accepted');
  simulator.goAway({ nextCalls: 1, isProcessed: false });
  assert.equal((await send()).class, 'transient');
  simulator.goAway({ nextCalls: 1, isProcessed: true });
  assert.equal((await send()).class, 'ambiguous');
  assert.equal(simulator.accepted.total(), 2);
  assert.equal((await send()).class, 'accepted');
});

test('GOAWAY amid many: nothing that was taken is called transient', async () => {
  const { simulator, send, sendMany } = await start();
  await send();
  simulator.configure({ latencyMedianMs: 10, latencyP99Ms: 50 });
  simulator.goAway({ nextCalls: 1, isProcessed: true });
  const outcomes = classes(await sendMany(40));
  const count = (wanted: string) => outcomes.filter((outcome) => outcome === wanted).length;
  assert.ok(count('ambiguous') > 0 && count('transient') > 0, outcomes.join());
  const taken = simulator.accepted.total() - 1;
  assert.ok(taken >= count('accepted') && taken <= 40 - count('transient'), `${taken} taken`);
});

test('a token is renewed after 50 minutes, and not before', async () => {
  let nowMs = Date.now();
  const { minted, send } = await start({ now: () => nowMs });
  for (const [minutes, tokens] of [
    [0, 1],
    [20, 1],
    [29, 1],
    [1, 2],
    [49, 2],
  ] as const) {
    nowMs += minutes * 60_000;
    await send();
    assert.equal(minted(), tokens, `${minutes} minutes later`);
  }
});

test('too many new tokens: the session is given up and the next call is accepted', async () => {
  const { simulator, send } = await start();
  const rule = {
    kind: 'error',
    status: 429,
    code: 'TooManyProviderTokenUpdates',
    nextCalls: 1,
  } as const;
  simulator.faults.add(rule);
  const limited = await send();
  assert.ok(limited.class === 'rate-limited' && limited.scope === 'account');
  assert.equal((await send()).class, 'accepted');
  assert.equal(simulator.tokensSeen(), 1);
});

test("a fresh token that is called expired is the account's fault, after one repeat", async () => {
  const { simulator, send } = await start();
  // Its clock is far ahead of ours: whatever we make is hours old for it.
  simulator.configure({ clockScale: 1e9 });
  const outcome = await send();
  assert.deepEqual([outcome.class, outcome.providerCode], ['auth-invalid', 'ExpiredProviderToken']);
  assert.equal(simulator.calls.total(), 2);
});

test('the apns-id is a UUID of the delivery key, and comes back as the provider id', async () => {
  const { send } = await start();
  const outcome = await send();
  const id = apnsIdOf(`msg_${'1'.padStart(26, '0')}.0.${'0'.repeat(16)}`);
  assert.ok(outcome.class === 'accepted' && outcome.providerId === id);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('a dead device is told with the time since when', async () => {
  const { client } = await start();
  const outcome = await client.send({
    to: { deviceToken: 'dead0410'.padEnd(64, '1') },
    content: { title: 't', body: 'b' },
    deliveryKey: 'msg_1.0.2',
    signal: new AbortController().signal,
  });
  assert.equal(outcome.class, 'recipient-invalid');
  assert.match(outcome.providerMessage ?? '', /^dead since 20\d\d-.*Z$/);
});

test('what is no APNs token is not sent', async () => {
  const { simulator, client } = await start();
  for (const deviceToken of ['abc', 'g'.repeat(64), 'a'.repeat(65)]) {
    const request = {
      content: { title: 't', body: 'b' },
      deliveryKey: 'k',
      signal: AbortSignal.timeout(99),
    };
    assert.equal(
      (await client.send({ to: { deviceToken }, ...request })).class,
      'recipient-invalid',
    );
  }
  assert.equal(simulator.calls.total(), 0);
});

test('private addresses and HTTP/2 without TLS are refused unless allowed', async () => {
  const plain = await start({ allowPrivateProviders: false });
  assert.match((await plain.send()).providerMessage ?? '', /EPLAIN/);
  for (const baseUrl of ['https://127.0.0.1:1', 'https://[::1]:1', 'https://localhost:1']) {
    const { send } = await start({ allowPrivateProviders: false, settings: { baseUrl } });
    const outcome = await send();
    assert.equal(outcome.class, 'transient', baseUrl);
    assert.match(outcome.providerMessage ?? '', /EPRIVATE/, baseUrl);
  }
});

test("a key that is no P-256 key is the account's fault and is not quoted", async () => {
  const { simulator, listener } = await start();
  const { settings } = demoPushApns.account({ url: listener.url, receiptToken: '' });
  const privateKey = '-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----';
  const deps = { allowPrivateProviders: true, tokens: createProviderTokens() };
  const client = createPushApns(deps).createClient({
    id: 'acc_2',
    tenantId: 'ten_1',
    settings,
    secrets: { privateKey },
  });
  const outcome = await client.verify(AbortSignal.timeout(1000));
  await client.close();
  assert.equal(outcome.class, 'auth-invalid');
  assert.doesNotMatch(JSON.stringify(outcome), /hush/);
  assert.equal(simulator.calls.total(), 0);
});

test('over TLS the certificate must be of a trusted authority', async () => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [
      { name: 'basicConstraints', cA: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  const trusting = await start({ simulator: { tls: { key, cert } }, settings: { ca: cert } });
  assert.equal((await trusting.send()).class, 'accepted');
  const doubting = await start({ simulator: { tls: { key, cert } } });
  const outcome = await doubting.send();
  assert.equal(outcome.class, 'transient');
  assert.match(outcome.providerMessage ?? '', /SELF_SIGNED|self-signed/);
});
