/** Tenants' own result topics. The parts of it, in start order. */
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { openResultTopics, type Store } from '../../store/index.ts';
import { publishResults, type PublishResultsDeps } from './publish-results.ts';
import { createTopicPauses } from './topic-pauses.ts';

export type RunResultTopicsDeps = Omit<PublishResultsDeps, 'inForce' | 'ensureTopic' | 'pauses'> & {
  readonly store: Pick<Store, 'tenantResultTopics' | 'revisions'>;
  /** `host:port`, several with `;`. */
  readonly nameServer: string;
};

/** Order is kept within a queue, and a queue serves one consumer at a time. */
const queues = 8;
/** Then the event is in the group's dead-letter topic, and those behind it go on. */
const maxRetries = 16;
const adminTimeoutMs = 5000;
/** A topic that somebody deleted is made again within this time. */
const ensuredForMs = 60_000;

/** Runs until stopped; any number of processes may. Errors: the store does not answer. */
export async function runResultTopics(
  deps: RunResultTopicsDeps,
): Promise<{ stop(): Promise<void> }> {
  const { store, nameServer, logger } = deps;
  const inForce = await openResultTopics({ store, logger });
  const admin = createRocketmqAdmin({ nameServer, timeoutMs: adminTimeoutMs });
  const ensured = new Map<string, { readonly atMs: number; readonly made: Promise<void> }>();
  const make = async (topic: string) => {
    await admin.createTopics([{ name: topic, queues, type: 'FIFO' }]);
    await admin.createGroups([{ name: topic, ordered: true, maxRetries }]);
    // A group without an offset starts at the newest message.
    await admin.setOffsetsToStart(topic, topic);
    logger.debug({ topic }, 'result-topic.ready');
  };
  const ensureTopic = (topic: string): Promise<void> => {
    const known = ensured.get(topic);
    const nowMs = performance.now();
    if (known !== undefined && nowMs - known.atMs < ensuredForMs) return known.made;
    const made = make(topic).catch((error: unknown) => {
      ensured.delete(topic);
      throw error;
    });
    ensured.set(topic, { atMs: nowMs, made });
    return made;
  };
  const publishing = publishResults({
    ...deps,
    inForce,
    ensureTopic,
    pauses: createTopicPauses(),
  });
  return {
    stop: async () => {
      await publishing.stop();
      await inForce.close();
      admin.close();
    },
  };
}
