/**
 * A provider that is away while messages keep coming: it throttles, answers 503, hangs and resets connections in turn. Its
 * life is long enough: every message arrives, one-time passwords at most once, and few calls are spent on it. With
 * MC_BIG=true for two minutes instead of forty seconds.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FaultRule } from '../../channels/sandbox/faults.ts';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const outageMs = process.env['MC_BIG'] === 'true' ? 120_000 : 40_000;
/** Before and after it. */
const calmMs = outageMs / 4;
const everyMs = 200;
/** Each message would be tried at once, and most of them often, if every one of them had to find out by itself. */
const mostWasted = 60;
/** Share of all calls; printed beside what was reached. */
const wastedGoal = 0.02;

const system = await startSystem({
  isOneProcess: true,
  ratePerSecond: 20,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;

/** What the provider does in each quarter; to every call, also those that only ask. */
const quarters: readonly FaultRule[] = [
  { kind: 'error', status: 429, code: 'Throttling' },
  { kind: 'error', status: 503 },
  // It takes the message and says nothing: the caller's time ends.
  { kind: 'accept-then-hang' },
  { kind: 'reset' },
];

interface Posted {
  readonly id: string;
  readonly phone: string;
  readonly isOtp: boolean;
}

describe('a provider that is away under load', () => {
  const posted: Posted[] = [];
  const post = async () => {
    const isOtp = posted.length % 3 === 0;
    const phone = `1${isOtp ? 76 : 77}${String(posted.length).padStart(8, '0')}`;
    const message = isOtp
      ? { to: { phone }, template: 'login-code', variables: { code: '4711' } }
      : { to: { phone }, template: 'order-shipped', variables: { orderId: `O-${posted.length}` } };
    const entry = { id: '', phone, isOtp };
    posted.push(entry);
    const { status, body } = await system.call('POST', '/v1/messages', message);
    assert.equal(status, 202, JSON.stringify(body));
    entry.id = String(body['id']);
  };
  /** Posts at an even pace for this long. */
  const load = async (ms: number) => {
    const startedAt = Date.now();
    const posts: Promise<void>[] = [];
    for (let at = startedAt; at < startedAt + ms; at += everyMs) {
      await pause(at - Date.now());
      posts.push(post());
    }
    await Promise.all(posts);
  };
  const shown = () =>
    posted.filter(({ phone }) => smsAliyun.device.count('phone', phone) > 0).length;

  it('every message is on its phone in the end, one-time passwords once, and few calls were wasted', async (t) => {
    await load(calmMs);
    const from = Date.now();
    for (const rule of quarters) {
      smsAliyun.faults.clear();
      smsAliyun.faults.add(rule);
      await load(outageMs / quarters.length);
    }
    smsAliyun.faults.clear();
    const to = Date.now();
    await load(calmMs);
    await until(
      'every message is on its phone',
      () => (shown() === posted.length ? true : undefined),
      { timeoutMs: 240_000, everyMs: 250, seen: () => `${shown()} of ${posted.length}` },
    );
    const firstSeenAt = Math.min(
      ...smsAliyun.device
        .find({ sinceMs: to, order: 'oldest', limit: 1 })
        .entries.map(({ at }) => at),
    );
    const allSeenAt = Date.now();

    const { entries } = smsAliyun.calls.find({ limit: Infinity });
    const during = entries.filter(({ at }) => at >= from && at < to);
    const sends = entries.filter(({ action }) => action === 'SendSms');
    const wasted = during.filter(({ action }) => action === 'SendSms').length;
    const asked = during.length - wasted;
    const again = smsAliyun.device.repeated('phone');
    t.diagnostic(
      `${posted.length} messages at ${1000 / everyMs}/s, ${outageMs / 1000} s without the provider: ` +
        `${wasted} of ${sends.length} sends wasted (${((100 * wasted) / sends.length).toFixed(1)} %, goal ${100 * wastedGoal} %), ` +
        `and ${asked} calls to look whether it is back; first message ${((firstSeenAt - to) / 1000).toFixed(1)} s after it was, ` +
        `all ${((allSeenAt - to) / 1000).toFixed(1)} s after; ${again.length} notices twice`,
    );
    const otps = posted.filter(({ isOtp }) => isOtp);
    assert.deepEqual(
      otps.filter(({ phone }) => smsAliyun.device.count('phone', phone) !== 1),
      [],
    );
    for (const { id } of posted) await system.untilStatus(id, ['sent', 'delivered'], 60_000);
    // Those that found out, and those under way meanwhile: a call hangs for five seconds before it counts as lost.
    assert.ok(wasted <= mostWasted, `${wasted} wasted`);
  });
});
