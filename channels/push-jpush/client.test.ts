/** What the conformance suite does not see: whose cid is whose, what it costs, batches, and reports. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ProviderTokens, SentMessage } from '../../contracts/channel.ts';
import {
  createProviderTokens,
  type StoredToken,
  type TokenShelf,
} from '../../platform/provider-tokens.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { demoPushJpush, sandboxPushJpush } from './demo.ts';
import { createPushJpush } from './index.ts';
import { createPushJpushSimulator, type PushJpushSimulator } from './simulator.ts';

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.toReversed()) await close();
});

async function startSimulator() {
  const simulator = createPushJpushSimulator(sandboxPushJpush);
  const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
  closers.push(() => listener.close());
  return { simulator, url: listener.url };
}

/** A client in a process of its own, but for what `tokens` shares. */
function open(url: string, tokens: ProviderTokens = createProviderTokens(), now = Date.now) {
  const account = demoPushJpush.account({ url, receiptToken: '' });
  const client = createPushJpush({ allowPrivateProviders: true, tokens, now }).createClient({
    id: 'acc_1',
    tenantId: 'ten_1',
    ...account,
  });
  closers.push(() => client.close());
  return client;
}

const signal = new AbortController().signal;
const content = { title: 't', body: 'b' };
const to = (n: number) => ({ deviceToken: `1507${n.toString(16).padStart(15, '0')}` });
const keyOf = (n: number) => `msg_${String(n).padStart(26, '0')}.0.${'0'.repeat(16)}`;
const message = (n: number) => ({ to: to(n), content, deliveryKey: keyOf(n) });
const callsOf = (simulator: PushJpushSimulator, action: string) =>
  simulator.calls.count('action', action);

/** What all processes see. */
function createShelf(): TokenShelf {
  const stored = new Map<string, StoredToken>();
  const id = (key: { accountId: string; name: string }) => `${key.accountId}/${key.name}`;
  return {
    read: async (key) => stored.get(id(key)),
    lease: async () => true,
    write: async (key, token) => void stored.set(id(key), token),
    release: async () => undefined,
    expire: async () => undefined,
  };
}

test('a repeat by another process reaches nobody a second time', async () => {
  const { simulator, url } = await startSimulator();
  const shelf = createShelf();
  const [one, two] = [
    open(url, createProviderTokens({ shelf })),
    open(url, createProviderTokens({ shelf })),
  ];
  simulator.faults.add({ kind: 'accept-then-reset', nextCalls: 1, action: 'Push' });
  assert.equal((await one.send({ ...message(1), signal })).class, 'ambiguous');
  const again = await two.send({ ...message(1), signal });
  assert.equal(again.class, 'accepted');
  assert.equal(simulator.device.count('ref', keyOf(1)), 1);
  const other = await two.send({ ...message(2), signal });
  assert.ok(other.class === 'accepted' && again.class === 'accepted');
  assert.notEqual(other.providerId, again.providerId);
});

test('without what processes share, the repeat would reach the person twice', async () => {
  const { simulator, url } = await startSimulator();
  for (const client of [open(url), open(url)]) await client.send({ ...message(1), signal });
  assert.equal(simulator.device.count('ref', keyOf(1)), 2);
});

test('a call for cids serves ten deliveries, also when they come at once', async () => {
  const { simulator, url } = await startSimulator();
  const client = open(url);
  const sends = Array.from({ length: 25 }, (_, n) => client.send({ ...message(n), signal }));
  for (const outcome of await Promise.all(sends)) assert.equal(outcome.class, 'accepted');
  assert.equal(callsOf(simulator, 'Cid'), 3);
  assert.equal(callsOf(simulator, 'Push'), 25);
});

test('a delivery keeps its cid for 22 hours; cids that waited half an hour are not used', async () => {
  const { simulator, url } = await startSimulator();
  let nowMs = Date.now();
  const now = () => nowMs;
  const client = open(url, createProviderTokens({ now }), now);
  const first = await client.send({ ...message(1), signal });
  nowMs += 29 * 60_000;
  await client.send({ ...message(2), signal });
  assert.equal(callsOf(simulator, 'Cid'), 1);
  nowMs += 2 * 60_000;
  await client.send({ ...message(3), signal });
  assert.equal(callsOf(simulator, 'Cid'), 2);
  nowMs += (22 * 60 - 31) * 60_000;
  const again = await client.send({ ...message(1), signal });
  assert.deepEqual(again, first);
  assert.equal(simulator.device.count('ref', keyOf(1)), 1);
});

test('no cid, no push: what JPush says of it is the outcome, and nothing was sent', async () => {
  const { simulator, url } = await startSimulator();
  const client = open(url);
  for (const [fault, outcome] of [
    [{ kind: 'reset' }, 'transient'],
    [{ kind: 'error', status: 500, code: '1000' }, 'transient'],
    [{ kind: 'error', status: 429, code: '2002' }, 'rate-limited'],
    [{ kind: 'error', status: 403, code: '2003' }, 'auth-invalid'],
  ] as const) {
    simulator.faults.add({ ...fault, action: 'Cid', nextCalls: 1 });
    assert.equal((await client.send({ ...message(9), signal })).class, outcome);
  }
  assert.equal(callsOf(simulator, 'Push'), 0);
});

test('over the quota it waits as long as JPush says', async () => {
  const { simulator, url } = await startSimulator();
  simulator.configure({ pushesPerMinute: 2 });
  const client = open(url);
  assert.equal((await client.send({ ...message(1), signal })).class, 'accepted');
  const outcome = await client.send({ ...message(2), signal });
  assert.ok(outcome.class === 'rate-limited' && outcome.scope === 'account');
  assert.ok(outcome.retryAfterMs >= 1000 && outcome.retryAfterMs <= 60_000);
});

test('a batch is one push with one id; the same batch again is none', async () => {
  const { simulator, url } = await startSimulator();
  const client = open(url);
  const messages = [message(1), message(2), message(3)];
  const outcomes = await client.sendBatch?.(messages, signal);
  assert.equal(
    new Set(outcomes?.map((each) => each.class === 'accepted' && each.providerId)).size,
    1,
  );
  assert.deepEqual(await client.sendBatch?.(messages, signal), outcomes);
  assert.equal(simulator.device.total(), 3);
});

test('a batch tells what cannot be an id, and of a batch nobody of which is there, that all are gone', async () => {
  const { url } = await startSimulator();
  const client = open(url);
  const classes = async (...tokens: string[]) => {
    const messages = tokens.map((deviceToken, n) => ({ ...message(n), to: { deviceToken } }));
    return (await client.sendBatch?.(messages, signal))?.map((each) => each.class);
  };
  assert.deepEqual(await classes('no-id', to(1).deviceToken), ['recipient-invalid', 'accepted']);
  const gone = ['dead10110000000001', 'dead10110000000002'];
  assert.deepEqual(await classes(...gone), ['recipient-invalid', 'recipient-invalid']);
});

/** Sends as a batch, and what would be asked about afterwards. */
async function sentBatch(url: string, tokens: readonly string[]): Promise<readonly SentMessage[]> {
  const sentAt = new Date().toISOString();
  const messages = tokens.map((deviceToken, n) => ({ ...message(n), to: { deviceToken } }));
  const outcomes = (await open(url).sendBatch?.(messages, signal)) ?? [];
  return messages.map(({ to, deliveryKey }, n) => {
    const outcome = outcomes[n];
    const providerId = outcome?.class === 'accepted' ? outcome.providerId : undefined;
    return { to, deliveryKey, providerId, sentAt };
  });
}

test('reports tell of each device of a batch, also of those that JPush passed over', async () => {
  const { url } = await startSimulator();
  const sent = await sentBatch(url, [
    to(1).deviceToken,
    'dead1003ffffffffff',
    'dead10110000000001',
  ]);
  const told = await open(url).askReceipts?.(sent, signal);
  assert.deepEqual(
    told?.map(({ deliveryKey, status, outcome }) => [deliveryKey, status, outcome]),
    [
      [keyOf(0), 'delivered', undefined],
      [keyOf(1), 'failed', 'recipient-invalid'],
      [keyOf(2), 'failed', 'recipient-invalid'],
    ],
  );
});

test('reports say nothing of what has not arrived, and ask no device of it', async () => {
  const { simulator, url } = await startSimulator();
  simulator.faults.add({ kind: 'silent-drop', nextCalls: 1, action: 'Push' });
  const sent = await sentBatch(url, [to(1).deviceToken]);
  assert.deepEqual(await open(url).askReceipts?.(sent, signal), []);
  assert.equal(callsOf(simulator, 'Status'), 0);
});

test('reports are asked a hundred ids at a time; one that fails is thrown', async () => {
  const { simulator, url } = await startSimulator();
  const client = open(url);
  const asked = Array.from({ length: 250 }, (_, n) => ({
    to: to(n),
    deliveryKey: keyOf(n),
    providerId: String(1000 + n),
    sentAt: new Date().toISOString(),
  }));
  assert.deepEqual(await client.askReceipts?.(asked, signal), []);
  assert.equal(callsOf(simulator, 'Received'), 3);
  simulator.faults.add({ kind: 'html-502', action: 'Received' });
  await assert.rejects(async () => client.askReceipts?.(asked, signal), /HTTP 502/);
});
