/** What the benchmarks of accepting share: posting, a message as it lies in the lane, and that none is lost. */
import { isUnavailable } from '../platform/elasticsearch.ts';
import { createRocketmqAdmin } from '../platform/rocketmq-admin.ts';
import { createReceiver } from '../platform/rocketmq.ts';
import type { PostOptions, PostResult } from './load/post-messages.ts';
import { until } from './measure/until.ts';
import type { Usage } from './measure/watch.ts';
import type { Place } from './place.ts';
import type { BenchSystem } from './system.ts';

type PostPlan = Omit<PostOptions, 'origin' | 'key'>;

/** Posts by a load of its own. Errors: anything was refused; the message says what the first refusal said. */
export async function post(
  place: Place,
  system: BenchSystem,
  plan: PostPlan,
): Promise<{ readonly result: PostResult; readonly usage: Usage }> {
  const options = { origin: system.api, key: system.key, ...plan };
  const measured = await place.measure('post-messages', options, system);
  const { refused, refusal } = measured.result;
  if (refused > 0 || refusal !== undefined)
    throw new Error(`${refused} messages were refused; the first answer: ${refusal}`);
  return measured;
}

/** How long messages may stay away before they count as lost, from the last one that came. */
const lostAfterMs = 60_000;

/** Waits until `look` counts all. Errors: nothing came for a minute, and some are missing: they are lost; or there are too many. */
export async function untilAll(
  what: string,
  wanted: number,
  look: () => Promise<number>,
): Promise<void> {
  let last = -1;
  let changedAt = Date.now();
  await until(
    `${wanted} ${what}`,
    async () => {
      // An index that is just being made has no shard to ask yet.
      const count = await look().catch((error: unknown) => {
        if (!isUnavailable(error)) throw error;
        return last;
      });
      if (count > wanted) throw new Error(`${count} ${what}, and only ${wanted} were accepted`);
      if (count !== last) changedAt = Date.now();
      last = count;
      if (Date.now() - changedAt > lostAfterMs)
        throw new Error(`${wanted - count} of ${wanted} messages are lost: ${count} ${what}`);
      return count === wanted || undefined;
    },
    { timeoutMs: 24 * 3_600_000, everyMs: 250 },
  );
}

/** A message as ingest puts it into the normal lane, for limits that must carry the same. Nothing may be in that lane yet. */
export async function laneMessage(place: Place, system: BenchSystem): Promise<string> {
  const { names, config, logger } = system;
  const group = `${config.prefix}-bench`;
  const topics = Array.from({ length: config.slots }, (_, slot) => names.lane(slot, 'normal'));
  const admin = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 10_000 });
  await admin.createGroups([{ name: group, maxRetries: 1 }]);
  for (const topic of topics) await admin.setOffsetsToStart(group, topic);
  const [account] = await system.store.channelAccounts.list(system.tenantId, { limit: 1 });
  const topic = names.lane(account?.slot ?? 0, 'normal');
  const plan = { connections: 1, messages: 1, warmUp: 0, perRequest: 0, phones: '30' } as const;
  await post(place, system, plan);
  const { rocketmqEndpoint: endpoint } = config;
  const receiver = await createReceiver({ endpoint, group, topics, invisibleSeconds: 30, logger });
  try {
    return await until(
      'a message is in its lane',
      async () => {
        const [delivery] = await receiver.receive(topic, 1);
        if (delivery !== undefined) await receiver.acknowledge([delivery]);
        return delivery?.body.toString('utf8');
      },
      { timeoutMs: 60_000 },
    );
  } finally {
    await receiver.close();
    admin.close();
  }
}
