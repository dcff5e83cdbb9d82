/** `POST /v1/messages/batch` against raw batch sends of one Node process, with messages of the same size. */
import { createRocketmqAdmin } from '../platform/rocketmq-admin.ts';
import { laneMessage, post, untilAll } from './accepting.ts';
import type { Bench, BenchResult, Cost, Figure } from './bench.ts';
import type { PostResult } from './load/post-messages.ts';
import type { SendRawOptions, SendRawResult } from './load/send-raw.ts';
import { median } from './measure/latencies.ts';
import { perMessage } from './measure/watch.ts';
import type { Place } from './place.ts';
import { linesOf } from './report/chart.ts';
import type { BenchSystem } from './system.ts';

const sizes = [100, 500, 1000] as const;
/** Requests under way at once. */
const connections = 8;
const rawShapes = [
  { batch: 64, inFlight: 4 },
  { batch: 128, inFlight: 4 },
  { batch: 128, inFlight: 6 },
] as const;

const rate = ({ accepted, seconds }: PostResult) => accepted / seconds;
const rawRate = ({ sent, seconds }: SendRawResult) => sent / seconds;

export const acceptBatch: Bench = {
  name: 'accept-batch',
  summary: 'accepted by POST /v1/messages/batch, on the broker’s disk, against raw batch sends',
  run: async (place) => {
    const system = await place.startSystem({ processes: ['ingest'] });
    const raw = await rawTopic(place, system);
    const messages = place.count(60_000);
    const trial = Math.ceil(messages / 10);

    const shapes = [];
    for (const shape of rawShapes) {
      const tried = await raw.send({ ...shape, messages: trial, warmUp: trial });
      shapes.push({ shape, rate: rawRate(tried) });
    }
    const { shape } = shapes.reduce((best, each) => (each.rate > best.rate ? each : best));

    let accepted = 1;
    let phones = 31;
    const postAll = async (perRequest: number, plan: { messages: number; isBulk?: true }) => {
      const { result, usage } = await post(place, system, {
        perRequest,
        connections,
        messages: plan.messages,
        warmUp: Math.min(trial, plan.messages),
        phones: String(phones++),
        ...(plan.isBulk && { priority: 'bulk' as const }),
      });
      accepted += result.accepted + result.acceptedBefore;
      return { result, usage };
    };
    const tries = [];
    for (const size of sizes)
      tries.push({ size, rate: rate((await postAll(size, { messages: trial })).result) });
    const { size } = tries.reduce((best, each) => (each.rate > best.rate ? each : best));
    place.say(`raw: ${shape.batch} × ${shape.inFlight}; best size of a batch: ${size}`);

    const rounds = [];
    for (let round = 0; round < place.rounds; round++) {
      const limit = await raw.send({ ...shape, messages, warmUp: trial });
      const ours = await postAll(size, { messages });
      rounds.push({ limit, ...ours });
    }
    const chunks = await postAll(1000, { messages, isBulk: true });

    await system.start(['indexer']);
    await untilAll('messages in the index', accepted, () => system.indexed());
    return toResult({ size, rounds, chunks, messages, bodyBytes: raw.bodyBytes });
  },
};

interface Round {
  readonly limit: SendRawResult;
  readonly result: PostResult;
  readonly usage: Parameters<typeof perMessage>[0];
}

function toResult(of: {
  readonly size: number;
  readonly rounds: readonly Round[];
  readonly chunks: Omit<Round, 'limit'>;
  readonly messages: number;
  readonly bodyBytes: number;
}): BenchResult {
  const { size, rounds, chunks, messages, bodyBytes } = of;
  const value = median(rounds.map(({ result }) => rate(result)));
  const limit = median(rounds.map(({ limit }) => rawRate(limit)));
  const figures: Figure[] = [
    {
      what: `accepted in batches of ${size}`,
      value,
      unit: '/s',
      limit: { what: 'raw batch sends', value: limit },
      ratio: median(rounds.map(({ result, limit }) => rate(result) / rawRate(limit))),
      goals: [
        { of: 'value', atLeast: 10_000 },
        { of: 'ratio', atLeast: 0.8 },
      ],
    },
    {
      what: `p99 of a batch of ${size}`,
      value: median(rounds.map(({ result }) => result.latency.p99Ms)),
      unit: 'ms',
    },
    {
      what: 'accepted in batches of 1000, bulk, as chunks',
      value: rate(chunks.result),
      unit: '/s',
    },
    { id: 'lane-bytes', what: 'body of a lane message', value: bodyBytes, unit: 'bytes' },
  ];
  const last = rounds.at(-1);
  const costs: Cost[] = [
    ...(last === undefined
      ? []
      : [
          {
            step: 'accept-batch' as const,
            what: 'accepted in a batch',
            messages,
            cpuPerMessageUs: perMessage(last.usage, messages),
          },
        ]),
    {
      step: 'accept-chunk',
      what: 'accepted in a chunk',
      messages,
      cpuPerMessageUs: perMessage(chunks.usage, messages),
    },
  ];
  const series =
    last === undefined
      ? []
      : [
          ...linesOf('accepted', last.result.points),
          ...linesOf('raw batch sends', last.limit.points),
        ];
  return { figures, costs, series };
}

/** Raw sends to a topic of their own. */
async function rawTopic(place: Place, system: BenchSystem) {
  const { config } = system;
  const topic = `${config.prefix}-raw`;
  const admin = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 10_000 });
  await admin.createTopics([{ name: topic, queues: 4, type: 'NORMAL' }]);
  admin.close();
  const body = await laneMessage(place, system);
  const send = async (
    plan: Pick<SendRawOptions, 'batch' | 'inFlight' | 'messages' | 'warmUp'>,
  ): Promise<SendRawResult> => {
    const options = { endpoint: config.rocketmqEndpoint, topic, body, ...plan };
    const { result } = await place.measure('send-raw', options);
    return result;
  };
  return { send, bodyBytes: Buffer.byteLength(body) };
}
