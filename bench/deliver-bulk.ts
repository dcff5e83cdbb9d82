/** The bulk lane from the first POST to the last document: chunks, their batch calls, and each member's end in the index. */
import { laneMessage, post, untilAll } from './accepting.ts';
import { runBare } from './bare-runs.ts';
import type { Bench } from './bench.ts';
import { follow } from './measure/progress.ts';
import { perMessage } from './measure/watch.ts';
import { linesOf } from './report/chart.ts';

const inChunk = 100;
const ends = ['sent', 'delivered'];

export const deliverBulk: Bench = {
  name: 'deliver-bulk',
  summary: 'bulk from accepted to indexed by chunks, against bare runs that carry a chunk each',
  run: async (place) => {
    const messages = Math.ceil(place.count(50_000) / inChunk) * inChunk;
    const system = await place.startSystem({ processes: ['ingest', 'sandbox'] });
    const payload = chunkLike(await laneMessage(place, system));
    const runs = Math.ceil(messages / inChunk);
    const bare = await runBare(place, system, { runs, payload, name: 'bare-chunks' });
    await system.start(['bridge', 'worker', 'indexer', 'jobs', 'admin']);
    const plan = { connections: 2, perRequest: 1000, priority: 'bulk', phones: '32' } as const;
    // As many again: for as long the servers' compilers take a fifth of the machine.
    const warm = await post(place, system, { ...plan, messages, warmUp: 0, phones: '31' });
    const before = warm.result.accepted + 1;
    await untilAll('messages sent in the index', before, () => system.indexed(ends));

    const watching = place.watch(system);
    const progress = follow(async () => (await system.provider.counts()).accepted, 200);
    const startedAt = performance.now();
    const { result } = await post(place, system, { ...plan, messages, warmUp: 0 });
    const total = before + result.accepted;
    await progress.reached(total);
    await untilAll('messages sent in the index', total, () => system.indexed(ends));
    const seconds = (performance.now() - startedAt) / 1000;
    const usage = watching.stop();
    progress.stop();
    const { acceptedOutIds, accepted } = await system.provider.counts();
    if (accepted !== total)
      throw new Error(
        `the provider took ${accepted} messages (${acceptedOutIds} calls), not ${total}`,
      );

    return {
      figures: [
        {
          what: 'delivered, bulk lane, first POST to last document',
          value: result.accepted / seconds,
          unit: '/s',
          limit: {
            what: 'bare runs with a chunk each',
            value: (bare.result.runs * inChunk) / bare.result.seconds,
          },
          goals: [{ of: 'value', atLeast: 1000 }],
        },
        {
          what: 'bulk messages at the provider',
          value: progress.rateBetween(before + result.accepted / 10, total),
          unit: '/s',
          goals: [{ of: 'value', atLeast: 1000 }],
        },
      ],
      costs: [
        {
          step: 'deliver-chunk',
          what: 'accepted, delivered and indexed in a chunk',
          messages: result.accepted,
          cpuPerMessageUs: perMessage(usage, result.accepted),
        },
      ],
      series: linesOf('at the provider', progress.points),
    };
  },
};

/** A payload with the size and the labels of a chunk whose members are like this message. */
function chunkLike(message: string): string {
  const { sealed, recipientHash, recipientMasked, requestHash, id, ...shared } = JSON.parse(
    message,
  ) as Record<string, unknown>;
  const member = { id, requestHash, recipientHash, recipientMasked, sealed };
  return JSON.stringify({
    ...shared,
    priority: 'bulk',
    members: Array.from({ length: inChunk }, () => member),
  });
}
