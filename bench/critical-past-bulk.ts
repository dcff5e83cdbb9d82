/** One-time passwords while a campaign waits: from their acceptance to the provider. */
import { serviceNames } from '../stack/services.ts';
import { pause } from '../platform/lifecycle.ts';
import { post, untilAll } from './accepting.ts';
import type { Bench, BenchResult } from './bench.ts';
import { createLatencies } from './measure/latencies.ts';
import { until } from './measure/until.ts';
import type { Place } from './place.ts';
import { linesOf } from './report/chart.ts';

/** Of the account: the campaign must still wait at the end. From 200/s on it goes by the hundred, in chunks. */
const ratesPerSecond = { oneByOne: 20, inChunks: 500 };
const codesPerSecond = 5;
const forMs = 30_000;
const orderTemplate = 'SMS_1002';

export const criticalPastBulk: Bench = {
  name: 'critical-past-bulk',
  summary:
    'a critical message from accepted to the provider while a campaign waits that goes one by one',
  run: (place) => past(place, ratesPerSecond.oneByOne, 'bulk wait'),
};

export const criticalPastChunks: Bench = {
  name: 'critical-past-chunks',
  summary: 'the same while the campaign goes by the hundred',
  run: (place) => past(place, ratesPerSecond.inChunks, 'bulk wait and go in chunks'),
};

async function past(place: Place, ratePerSecond: number, how: string): Promise<BenchResult> {
  const waiting = Math.ceil(place.count(100_000) / 100) * 100;
  const system = await place.startSystem({ processes: serviceNames, ratePerSecond });
  await post(place, system, {
    connections: 4,
    perRequest: 1000,
    messages: waiting,
    warmUp: 0,
    priority: 'bulk',
    phones: '31',
  });
  await until(
    'the campaign is on its way',
    async () => ((await system.provider.counts()).accepted > 0 ? true : undefined),
    { timeoutMs: 120_000 },
  );
  const watching = place.watch(system);
  const startedAt = Date.now();
  const codes: Promise<{ phone: string; acceptedAt: number }>[] = [];
  for (let at = startedAt; at < startedAt + forMs; at += 1000 / codesPerSecond) {
    await pause(at - Date.now());
    codes.push(postCode(system, `132${String(codes.length).padStart(8, '0')}`));
  }
  const delays = createLatencies();
  for (const code of codes) {
    const { phone, acceptedAt } = await code;
    const calledAt = await until(
      'every code is at the provider',
      () => system.provider.acceptedAt(phone),
      { timeoutMs: 600_000, everyMs: 20 },
    );
    // The answer may come after the call: then it took no time.
    delays.add(acceptedAt - startedAt, Math.max(0, calledAt - acceptedAt));
  }
  watching.stop();
  const left = waiting - (await system.provider.countOf(orderTemplate));
  if (left < waiting / 2) throw new Error('the campaign was over before the codes were');
  await untilAll('messages in the index', waiting + codes.length, () => system.indexed());
  return {
    figures: [
      {
        what: `critical, accepted to provider, while ${waiting.toLocaleString('en-US')} ${how}, p99`,
        value: delays.all.p99Ms,
        unit: 'ms',
        goals: [{ of: 'value', atMost: 2000 }],
      },
      { what: 'the same, p50', value: delays.all.p50Ms, unit: 'ms' },
    ],
    series: linesOf('critical', delays.points),
  };
}

async function postCode(
  { api, key }: { readonly api: string; readonly key: string },
  phone: string,
): Promise<{ phone: string; acceptedAt: number }> {
  const message = { to: { phone }, template: 'login-code', variables: { code: '4711' } };
  const answer = await fetch(`${api}/v1/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(message),
  });
  if (answer.status !== 202) throw new Error(`${answer.status} ${await answer.text()}`);
  await answer.arrayBuffer();
  return { phone, acceptedAt: Date.now() };
}
