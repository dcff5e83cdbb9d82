/** From what a message costs here to what an installation needs: the arithmetic of docs/capacity.md. */
import type { Cost, Figure, Step } from '../bench.ts';
import type { Report } from './report.ts';
import { formatNumber, markdownTable } from './table.ts';

/** Share of a core that is planned to be busy; the rest is for bursts, deploys and a machine that fails. */
const plannedBusy = 0.6;
/** Shards that are busy at once, times this, are planned: messages do not fall evenly on them. */
const shardReserve = 4;
const writeLatenciesMs = [5, 10, 20] as const;
const rates = [1000, 10_000] as const;
/** Days that documents and broker messages are kept by default. */
const indexDays = 30;
const brokerDays = 3;

const steps: readonly (readonly [Step, string])[] = [
  ['accept-single', 'accept, one POST each'],
  ['accept-batch', 'accept, in batches'],
  ['accept-chunk', 'accept, in bulk chunks'],
  ['deliver-run', 'deliver, a run each'],
  ['deliver-chunk', 'accept, deliver and index, in chunks'],
  ['index', 'index a lane message'],
];

const growthChart =
  '### As it grows\n\nRate and memory of one run of accepting and indexing:\n\n![Rate and memory by messages so far](growth.svg)';

/** Cores for a rate of messages a second, of a process that takes `us` microseconds for each. */
export const cores = (us: number, perSecond: number): number =>
  (us * perSecond) / 1e6 / plannedBusy;

/** History shards: transitions a second, each holding its shard for one write, with the reserve, as the next power of two. */
export function shards(transitions: number, perSecond: number, writeMs: number): number {
  const busy = transitions * perSecond * (writeMs / 1000);
  return 2 ** Math.ceil(Math.log2(busy * shardReserve));
}

/** The tables; what was not measured in this run is left out. */
export function capacityTables(report: Report): string {
  const costs = report.benches.flatMap(({ result }) => result.costs ?? []);
  const figures = report.benches.flatMap(({ result }) => result.figures);
  return [
    ...steps.flatMap(([step, title]) => {
      const cost = costs.find((each) => each.step === step);
      return cost === undefined ? [] : [coresTable(title, cost)];
    }),
    ...shardsTable(figures),
    ...storageTable(figures),
    ...(report.benches.some(({ name }) => name === 'growth') ? [growthChart] : []),
  ].join('\n\n');
}

function coresTable(title: string, { cpuPerMessageUs, messages }: Cost): string {
  const ours = Object.entries(cpuPerMessageUs).filter(
    ([name]) => name !== 'load' && name !== 'harness' && name !== 'sandbox',
  );
  const total = ours.reduce((sum, [, us]) => sum + us, 0);
  const row = (name: string, us: number) => [
    name,
    formatNumber(us),
    ...rates.map((rate) => formatNumber(cores(us, rate))),
  ];
  const table = markdownTable(
    ['process', 'µs a message', ...rates.map((rate) => `cores at ${formatNumber(rate)}/s`)],
    [...ours.map(([name, us]) => row(name, us)), row('together', total)],
  );
  return `### To ${title}\n\nMeasured over ${formatNumber(messages)} messages.\n\n${table}`;
}

function shardsTable(figures: readonly Figure[]): string[] {
  const transitions = figures.find(({ id }) => id === 'transitions')?.value;
  if (transitions === undefined) return [];
  const table = markdownTable(
    ['write latency of the database', ...rates.map((rate) => `shards at ${formatNumber(rate)}/s`)],
    writeLatenciesMs.map((ms) => [
      `${ms} ms`,
      ...rates.map((rate) => formatNumber(shards(transitions, rate, ms))),
    ]),
  );
  return [
    `### Temporal's history shards\n\n${formatNumber(transitions)} state transitions a delivery, as the server counted.\n\n${table}`,
  ];
}

function storageTable(figures: readonly Figure[]): string[] {
  const of = (id: string) => figures.find((figure) => figure.id === id)?.value;
  const gigabytes = (bytes: number, perSecond: number, days: number) =>
    `${formatNumber((bytes * perSecond * 86_400 * days) / 1e9)} GB`;
  const row = (what: string, bytes: number | undefined, days: number) =>
    bytes === undefined
      ? []
      : [
          [
            `${what}, ${days} days`,
            `${formatNumber(bytes)} bytes`,
            ...rates.map((rate) => gigabytes(bytes, rate, days)),
          ],
        ];
  const rows = [
    ...row('documents in Elasticsearch', of('index-bytes'), indexDays),
    ...row('a lane message in RocketMQ', of('lane-bytes'), brokerDays),
  ];
  if (rows.length === 0) return [];
  const header = ['what', 'a message', ...rates.map((rate) => `${formatNumber(rate)}/s all day`)];
  return [`### Disks\n\nOne copy; replicas multiply it.\n\n${markdownTable(header, rows)}`];
}
