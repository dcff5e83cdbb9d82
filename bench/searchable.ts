/** How long after an event a search finds it, while messages come at an even pace. */
import { pause } from '../platform/lifecycle.ts';
import { createLatencies, type Percentiles } from './measure/latencies.ts';
import type { PostResult } from './load/post-messages.ts';
import type { Place } from './place.ts';
import type { BenchSystem } from './system.ts';

const perSecond = 100;
const forSeconds = 15;
const lookEveryMs = 50;
const lostAfterMs = 60_000;

/** Posts for a while and looks for what is new. Errors: something is not found within a minute. */
export async function searchableDelay(place: Place, system: BenchSystem): Promise<Percentiles> {
  const { elasticsearch: client, names } = system;
  const since = new Date().toISOString();
  const found = new Set<string>();
  const delays = createLatencies();
  const startedAt = Date.now();
  const look = async () => {
    const { hits } = await client.search<{ updatedAt: string }>({
      index: names.messageIndices,
      // Newest first, more than come between two refreshes.
      size: 2000,
      sort: [{ acceptedAt: 'desc' }],
      query: { range: { acceptedAt: { gte: since } } },
      _source: ['updatedAt'],
      track_total_hits: false,
    });
    const now = Date.now();
    for (const { _id = '', _source } of hits.hits) {
      if (found.has(_id)) continue;
      found.add(_id);
      delays.add(now - startedAt, now - Date.parse(_source?.updatedAt ?? ''));
    }
  };
  const load = place.startLoad('post-messages', {
    origin: system.api,
    key: system.key,
    connections: 16,
    messages: perSecond * forSeconds,
    warmUp: 0,
    perRequest: 0,
    perSecond,
    phones: '39',
  });
  await load.warm;
  // Not known until all are posted.
  const posted: { result?: PostResult } = {};
  const posting = load.begin().then((result) => (posted.result = result));
  const deadline = Date.now() + forSeconds * 1000 + lostAfterMs;
  while (found.size < (posted.result?.accepted ?? Infinity)) {
    if (Date.now() > deadline)
      throw new Error(`a search finds ${found.size} of ${posted.result?.accepted} messages`);
    await look();
    await pause(lookEveryMs);
  }
  await posting;
  return delays.all;
}
