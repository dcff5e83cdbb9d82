/** Limit: raw bulk writes of given documents to Elasticsearch, each to an id of its own. */
import { readFileSync } from 'node:fs';
import { createElasticsearch } from '../../platform/elasticsearch.ts';
import { createLatencies, type Percentiles, type Point } from '../measure/latencies.ts';
import { serveLoad } from './serve.ts';

export interface WriteRawOptions {
  readonly url: string;
  /** File of NDJSON: one `{ index, document }` a line. */
  readonly documents: string;
  readonly writes: number;
  readonly warmUp: number;
  /** Documents in a bulk. */
  readonly bulk: number;
  readonly inFlight: number;
}

export interface WriteRawResult {
  readonly written: number;
  readonly seconds: number;
  readonly latency: Percentiles;
  readonly points: readonly Point[];
}

interface Line {
  readonly index: string;
  readonly document: object;
}

serveLoad<{ options: WriteRawOptions; result: WriteRawResult }>(async (options, begin) => {
  const { url, writes, warmUp, bulk, inFlight } = options;
  const lines = readFileSync(options.documents, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const client = createElasticsearch({ url });
  const operations = (first: number, count: number) =>
    Array.from({ length: count }, (_, place) => {
      const { index, document } = lines[(first + place) % lines.length] as Line;
      const versioned = { version: 1, version_type: 'external_gte' } as const;
      return [{ index: { _index: index, _id: `raw-${first + place}`, ...versioned } }, document];
    }).flat();
  const writeAll = async (from: number, to: number) => {
    const latencies = createLatencies();
    const startedAt = performance.now();
    let next = from;
    const loop = async () => {
      while (next < to) {
        const first = next;
        const count = Math.min(bulk, to - first);
        next += count;
        const writtenAt = performance.now();
        const { errors } = await client.bulk(
          { operations: operations(first, count), filter_path: 'errors' },
          { requestTimeout: 60_000, maxRetries: 0 },
        );
        if (errors) throw new Error('Elasticsearch refused a document');
        const now = performance.now();
        latencies.add(now - startedAt, now - writtenAt, count);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, loop));
    const seconds = (performance.now() - startedAt) / 1000;
    return { written: to - from, seconds, latency: latencies.all, points: latencies.points };
  };
  await writeAll(0, warmUp);
  await begin();
  return writeAll(warmUp, warmUp + writes);
});
