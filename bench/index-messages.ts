/** Indexing a backlog against raw bulk writes of the same documents, and how soon an event can be found. */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNames } from '../contracts/topics.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { post, untilAll } from './accepting.ts';
import type { Bench } from './bench.ts';
import { searchableDelay } from './searchable.ts';
import type { WriteRawResult } from './load/write-raw.ts';
import { follow } from './measure/progress.ts';
import { perMessage } from './measure/watch.ts';
import type { Place } from './place.ts';
import { linesOf } from './report/chart.ts';
import type { BenchSystem } from './system.ts';

/** Documents that a lane message becomes: the message, and its sealed request. */
const documentsPerMessage = 2;
/** Of each kind; Elasticsearch gives no more in one answer. */
const mostDocuments = 10_000;

export const indexMessages: Bench = {
  name: 'index',
  summary:
    'indexed from a backlog, against raw bulk writes of the same documents; time until searchable',
  run: async (place) => {
    const messages = place.count(40_000);
    const system = await place.startSystem({ processes: ['ingest'] });
    const { result } = await post(place, system, {
      connections: 4,
      perRequest: 500,
      messages,
      warmUp: 0,
      phones: '31',
    });
    const warmUp = Math.ceil(result.accepted / 5);
    const starting = system.start(['indexer']);
    const progress = follow(() => written(system), 200);
    await starting;
    await progress.reached(warmUp);
    const watching = place.watch(system);
    await progress.reached(result.accepted);
    const usage = watching.stop();
    progress.stop();
    await untilAll('messages in the index', result.accepted, () => system.indexed());
    const bytesPerMessage = (await storedBytes(system)) / result.accepted;
    const raw = await writeRaw(place, system, result.accepted * documentsPerMessage);
    const delay = await searchableDelay(place, system);
    const measured = result.accepted - warmUp;
    return {
      figures: [
        {
          what: 'indexed, two documents each',
          value: progress.rateBetween(warmUp, result.accepted),
          unit: '/s',
          limit: {
            what: 'raw bulk writes of the same documents',
            value: raw.written / documentsPerMessage / raw.seconds,
          },
          goals: [{ of: 'ratio', atLeast: 0.8 }],
        },
        {
          what: 'searchable after its event, p99',
          value: delay.p99Ms,
          unit: 'ms',
          goals: [{ of: 'value', atMost: 2000 }],
        },
        { what: 'searchable after its event, p50', value: delay.p50Ms, unit: 'ms' },
        {
          id: 'index-bytes',
          what: 'a message in the index',
          value: bytesPerMessage,
          unit: 'bytes',
        },
      ],
      costs: [
        {
          step: 'index',
          what: 'indexed from the lane',
          messages: measured,
          cpuPerMessageUs: perMessage(usage, measured),
        },
      ],
      series: [
        ...linesOf('indexed', progress.points),
        ...linesOf(
          'raw bulk, two documents as one',
          raw.points.map((point) => ({
            ...point,
            perSecond: point.perSecond / documentsPerMessage,
          })),
        ),
      ],
    };
  },
};

/** Messages that the indexer has written, by its own count; 0 while it does not answer yet. */
async function written(system: BenchSystem): Promise<number> {
  const text = await system.metrics('indexer').catch(() => '');
  return Number(/^events_indexed_total\{result="written"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

async function storedBytes({ elasticsearch, names }: BenchSystem): Promise<number> {
  const index = [names.messageIndices, names.attemptIndices];
  await elasticsearch.indices.refresh({ index });
  const { _all } = await elasticsearch.indices.stats({ index, metric: 'store' });
  return _all.primaries?.store?.size_in_bytes ?? 0;
}

/** Writes the documents of the index to indices of the same templates, as fast as Elasticsearch takes them. */
async function writeRaw(
  place: Place,
  system: BenchSystem,
  writes: number,
): Promise<WriteRawResult> {
  const { elasticsearch: client, config, logger } = system;
  const rawNames = createNames(`${config.prefix}raw`);
  await createMessageIndex({ client, names: rawNames, logger }).install();
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  try {
    const documents = join(folder, 'documents.ndjson');
    await saveDocuments(system, documents);
    const { result } = await place.measure('write-raw', {
      url: config.elasticsearchUrl,
      documents,
      writes,
      warmUp: Math.ceil(writes / 5),
      bulk: 2000,
      inFlight: 4,
    });
    return result;
  } finally {
    await rm(folder, { recursive: true });
    const index = Object.keys(
      await client.indices.get({ index: [rawNames.messageIndices, rawNames.attemptIndices] }),
    );
    if (index.length > 0) await client.indices.delete({ index });
  }
}

/** Messages and requests in turn, as the indexer writes them. */
async function saveDocuments(system: BenchSystem, file: string): Promise<void> {
  const { elasticsearch: client, names, config } = system;
  const read = async (index: string) => {
    const { hits } = await client.search({ index, size: mostDocuments });
    return hits.hits.map(({ _index, _source }) => ({
      index: _index.replace(config.prefix, `${config.prefix}raw`),
      document: _source,
    }));
  };
  const messages = await read(names.messageIndices);
  const requests = await read(names.attemptIndices);
  const stream = createWriteStream(file);
  for (const [place, message] of messages.entries())
    for (const line of [message, requests[place]])
      if (line !== undefined) stream.write(`${JSON.stringify(line)}\n`);
  stream.end();
  await once(stream, 'finish');
}
