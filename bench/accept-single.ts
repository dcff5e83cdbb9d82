/** `POST /v1/messages` over 64 connections, one message each, against an express handler that only parses. */
import { untilAll, post } from './accepting.ts';
import type { Bench } from './bench.ts';
import type { PostResult } from './load/post-messages.ts';
import { median } from './measure/latencies.ts';
import { perMessage } from './measure/watch.ts';
import { linesOf } from './report/chart.ts';
import { freePorts } from './system.ts';

const connections = 64;
const rate = ({ accepted, seconds }: PostResult) => accepted / seconds;

export const acceptSingle: Bench = {
  name: 'accept-single',
  summary: 'accepted one POST each over 64 connections, against a handler that only parses',
  run: async (place) => {
    const system = await place.startSystem({ processes: ['ingest'] });
    const [port = 0] = await freePorts(1);
    const handler = place.startLoad('parse-only', { port });
    await handler.warm;
    void handler.begin().catch(() => {});
    const messages = place.count(20_000);
    const plan = { connections, messages, warmUp: Math.ceil(messages / 4), perRequest: 0 };

    const rounds = [];
    let accepted = 0;
    for (let round = 0; round < place.rounds; round++) {
      const origin = `http://127.0.0.1:${port}`;
      const options = { ...plan, origin, key: system.key, phones: '30' };
      const limit = await place.measure('post-messages', options);
      const ours = await post(place, system, { ...plan, phones: String(31 + round) });
      accepted += ours.result.accepted + ours.result.acceptedBefore;
      rounds.push({ limit: limit.result, ...ours });
    }
    await handler.kill();
    await system.start(['indexer']);
    await untilAll('messages in the index', accepted, () => system.indexed());

    const last = rounds.at(-1);
    return {
      figures: [
        {
          what: 'accepted, one POST each, 64 connections',
          value: median(rounds.map(({ result }) => rate(result))),
          unit: '/s',
          limit: {
            what: 'a handler that only parses',
            value: median(rounds.map(({ limit }) => rate(limit))),
          },
          ratio: median(rounds.map(({ limit, result }) => rate(result) / rate(limit))),
          goals: [
            { of: 'value', atLeast: 3000 },
            { of: 'ratio', atLeast: 0.5 },
          ],
        },
        {
          what: 'p99 of one POST',
          value: median(rounds.map(({ result }) => result.latency.p99Ms)),
          unit: 'ms',
          limit: {
            what: 'a handler that only parses',
            value: median(rounds.map(({ limit }) => limit.latency.p99Ms)),
          },
          goals: [{ of: 'value', atMost: 100 }],
        },
      ],
      costs:
        last === undefined
          ? []
          : [
              {
                step: 'accept-single' as const,
                what: 'accepted by a POST of its own',
                messages,
                cpuPerMessageUs: perMessage(last.usage, messages),
              },
            ],
      series:
        last === undefined
          ? []
          : [
              ...linesOf('accepted', last.result.points),
              ...linesOf('only parsed', last.limit.points),
            ],
    };
  },
};
