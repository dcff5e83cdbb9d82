/** How cost grows with what is there: one run of accepting and indexing, each step ten times the one before. */
import { post, untilAll } from './accepting.ts';
import type { Bench, Cost, Figure, Series } from './bench.ts';
import { perMessage } from './measure/watch.ts';

const firstStep = 1000;
/** A step posts no longer than this; what it has posted by then is indexed and counts. */
const stepMs = 10 * 60_000;

export const growth: Bench = {
  name: 'growth',
  summary: 'accepted and indexed, 1,000 to 1,000,000 messages in one run: rate and memory',
  run: async (place) => {
    const most = place.count(1_000_000);
    const system = await place.startSystem({ processes: ['ingest', 'indexer'] });
    const figures: Figure[] = [];
    const costs: Cost[] = [];
    const rates: [number, number][] = [];
    const memory = new Map<string, [number, number][]>();
    let total = 0;
    for (let step = firstStep; step <= most; step *= 10) {
      const watching = place.watch(system);
      const startedAt = performance.now();
      const { result } = await post(place, system, {
        connections: 4,
        perRequest: 500,
        messages: step - total,
        warmUp: 0,
        phones: String(30 + Math.log10(step)),
        withinMs: stepMs,
      });
      total += result.accepted;
      const wanted = total;
      await untilAll('messages in the index', wanted, () => system.indexed());
      const perSecond = result.accepted / ((performance.now() - startedAt) / 1000);
      const usage = watching.stop();
      rates.push([total, perSecond]);
      const label = total.toLocaleString('en-US');
      figures.push({ what: `accepted and indexed, up to ${label}`, value: perSecond, unit: '/s' });
      for (const name of ['ingest', 'indexer']) {
        const megabytes = (usage.peakBytes[name] ?? 0) / 1e6;
        memory.set(name, [...(memory.get(name) ?? []), [total, megabytes]]);
        figures.push({
          what: `memory of ${name}, up to ${label}`,
          value: megabytes,
          unit: 'MB',
          goals: [{ of: 'value', atMost: 300 }],
        });
      }
      costs.push({
        step: 'grow',
        what: `accepted and indexed, up to ${label}`,
        messages: result.accepted,
        cpuPerMessageUs: perMessage(usage, result.accepted),
      });
      if (total < step) break;
    }
    return {
      figures,
      costs,
      series: [
        { what: 'accepted and indexed', unit: '/s', points: rates },
        ...[...memory].map(([name, points]): Series => ({
          what: `memory of ${name}`,
          unit: 'MB',
          points,
        })),
      ],
      x: 'messages',
    };
  },
};
