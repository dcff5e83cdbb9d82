/** One run a message on the normal lane, against bare runs of the same shape on the same server. */
import { laneMessage, post, untilAll } from './accepting.ts';
import { runBare } from './bare-runs.ts';
import type { Bench, BenchResult, Figure } from './bench.ts';
import { follow } from './measure/progress.ts';
import { closedSoFar, perRun } from './measure/transitions.ts';
import { perMessage } from './measure/watch.ts';
import type { Place } from './place.ts';
import { linesOf } from './report/chart.ts';
import type { BenchSystem } from './system.ts';

const ends = ['sent', 'delivered'];

export const deliverNormal: Bench = {
  name: 'deliver-normal',
  summary: 'delivered on the normal lane, one run each, against a bare run with one activity',
  run: async (place) => {
    const messages = place.count(1200);
    const system = await place.startSystem({ processes: ['ingest', 'sandbox'] });
    const payload = await laneMessage(place, system);
    const bare = await runBare(place, system, { runs: messages, payload, name: 'bare' });
    // What laneMessage posted waits for the bridge too.
    const ours = await deliver(place, system, { messages, before: 1 });
    return toResult({ messages, bare, ours });
  },
};

/** Posts first, so that the lane never runs dry; then starts everything else, and measures between a fifth and the last. */
async function deliver(
  place: Place,
  system: BenchSystem,
  of: { readonly messages: number; readonly before: number },
) {
  const warmUp = Math.ceil(of.messages / 5);
  const posted = await post(place, system, {
    connections: 4,
    perRequest: 100,
    messages: of.messages + warmUp,
    warmUp: 0,
    phones: '31',
  });
  const total = posted.result.accepted + of.before;
  const before = await closedSoFar(place.servers.temporalMetricsUrl);
  await system.start(['bridge', 'worker', 'indexer', 'jobs', 'admin']);
  const progress = follow(async () => (await system.provider.counts()).accepted, 200);
  await progress.reached(warmUp);
  const watching = place.watch(system);
  await progress.reached(total);
  const usage = watching.stop();
  progress.stop();
  await untilAll('messages sent in the index', total, () => system.indexed(ends));
  const { acceptedOutIds } = await system.provider.counts();
  if (acceptedOutIds !== total)
    throw new Error(`the provider has ${acceptedOutIds} messages, and ${total} were accepted`);
  const after = await closedSoFar(place.servers.temporalMetricsUrl);
  return {
    perSecond: progress.rateBetween(warmUp, total),
    measured: total - warmUp,
    usage,
    points: progress.points,
    transitionsPerRun: perRun(before, after),
  };
}

function toResult(of: {
  readonly messages: number;
  readonly bare: Awaited<ReturnType<typeof runBare>>;
  readonly ours: Awaited<ReturnType<typeof deliver>>;
}): BenchResult {
  const { messages, bare, ours } = of;
  const barePerSecond = bare.result.runs / bare.result.seconds;
  const transitions: Figure = {
    id: 'transitions',
    what: 'state transitions of a delivery',
    value: ours.transitionsPerRun,
    unit: '',
    limit: { what: 'of a bare run', value: bare.transitionsPerRun },
    goals: [{ of: 'value', atMost: 6 }],
  };
  return {
    figures: [
      {
        what: 'delivered, normal lane, one run each',
        value: ours.perSecond,
        unit: '/s',
        limit: { what: 'bare runs', value: barePerSecond },
        goals: [{ of: 'ratio', atLeast: 0.85 }],
      },
      transitions,
    ],
    costs: [
      {
        step: 'deliver-run',
        what: 'delivered by a run of its own',
        messages: ours.measured,
        cpuPerMessageUs: perMessage(ours.usage, ours.measured),
      },
      {
        step: 'bare-run',
        what: 'a bare run',
        messages,
        cpuPerMessageUs: perMessage(bare.usage, messages),
      },
    ],
    series: [...linesOf('delivered', ours.points), ...linesOf('bare runs', bare.result.points)],
  };
}
