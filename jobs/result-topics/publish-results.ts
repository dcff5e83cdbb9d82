/**
 * Results → the tenant's own topic. A group of its own on the results, so that a topic that takes nothing holds up neither
 * deliveries nor webhooks; within it, such a topic is left alone for a while and its events are given back.
 */
import {
  documentVersion,
  eventsIn,
  MessageEventSchema,
  type Snapshot,
} from '../../contracts/result.ts';
import { statusesTold } from '../../contracts/result-topic.ts';
import type { Names } from '../../contracts/topics.ts';
import { webhookEvent } from '../../contracts/webhooks.ts';
import { pause } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import { createLru } from '../../platform/lru.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Delivery, Publisher, Receiver } from '../../platform/queue.ts';
import { createValidator } from '../../platform/validate.ts';
import type { ResultTopicsInForce } from '../../store/index.ts';
import type { TopicPauses } from './topic-pauses.ts';

export interface PublishResultsDeps {
  readonly receiver: Receiver;
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly names: Pick<Names, 'results' | 'tenantResults'>;
  readonly inForce: Pick<ResultTopicsInForce, 'of' | 'tenants'>;
  /** Makes a tenant's topic and its group where they are missing. Errors: RocketMQ does not answer. */
  readonly ensureTopic: (topic: string) => Promise<void>;
  readonly pauses: TopicPauses;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

interface Told {
  readonly delivery: Delivery;
  readonly snapshot: Snapshot;
}

const mostInReceive = 32;
/** Receives at a time. */
const receivers = 2;
const gatherMs = 200;
const publishDeadlineMs = 3000;
const retryEveryMs = 1000;
const remembered = 20_000;
/** Idle receives end by themselves only after the server's long poll: stop does not wait for those. */
const lastReceivesMs = 1000;
const validator = createValidator(MessageEventSchema);

/** Runs until stopped; any number of processes may. */
export function publishResults(deps: PublishResultsDeps): { stop(): Promise<void> } {
  const { receiver, publisher, names, inForce, pauses, logger } = deps;
  const stopped = new AbortController();
  const { signal } = stopped;
  /** Published from here: an event that comes again is not published again. */
  const published = createLru<true>(remembered);
  const counter = deps.metrics.counter(
    'tenant_results_total',
    "Events for tenants' own topics by what became of them.",
    ['result'],
  );

  /** What tenants want of it; without what cannot be read, which the indexer keeps and tells. */
  const wanted = (delivery: Delivery): readonly Told[] =>
    eventsIn(parse(delivery)).flatMap((event): Told[] => {
      if (!validator.check(event)) return [];
      const { data: snapshot } = event;
      const settings = inForce.of(snapshot.tenantId);
      if (settings === undefined) return [];
      const isTold = statusesTold(settings).some((status) => status === snapshot.status);
      return isTold ? [{ delivery, snapshot }] : [];
    });
  /** Milliseconds after which it must be tried again; 0: it is done. */
  const publish = async ({ snapshot }: Told): Promise<number> => {
    const { messageId, tenantId } = snapshot;
    const topic = names.tenantResults(tenantId);
    const event = webhookEvent(snapshot);
    if (published.get(event.id) === true) return 0;
    const waitMs = pauses.waitMs(topic);
    if (waitMs > 0) return waitMs;
    try {
      await deps.ensureTopic(topic);
      const message = { key: messageId, body: JSON.stringify(event) };
      await publisher.publish(topic, message, {
        orderingGroup: messageId,
        deadlineMs: publishDeadlineMs,
      });
    } catch (error) {
      logger.warn({ tenantId, topic, messageId, error }, 'tenant-result.postponed');
      return pauses.failed(topic);
    }
    pauses.worked(topic);
    published.set(event.id, true);
    counter.inc({ result: 'published' });
    return 0;
  };
  const take = async (deliveries: readonly Delivery[]): Promise<void> => {
    const told = deliveries
      .flatMap(wanted)
      .toSorted((a, b) => documentVersion(a.snapshot) - documentVersion(b.snapshot));
    const waits = new Map<Delivery, number>();
    await Promise.all(
      told.map(async (one) => {
        const waitMs = await publish(one);
        if (waitMs === 0) return;
        counter.inc({ result: 'postponed' });
        waits.set(one.delivery, Math.max(waitMs, waits.get(one.delivery) ?? 0));
      }),
    );
    const done = deliveries.filter((delivery) => !waits.has(delivery));
    await Promise.all([
      ...(done.length > 0 ? [receiver.acknowledge(done)] : []),
      // Not given back, it comes again all the same, later.
      ...[...waits].map(([delivery, waitMs]) =>
        receiver.retryLater(delivery, waitMs).catch(() => undefined),
      ),
    ]);
  };
  const receiveLoop = async () => {
    while (!signal.aborted) {
      try {
        const deliveries = await receiver.receive(names.results, mostInReceive);
        // What came after the stop comes again.
        if (!signal.aborted) await take(deliveries);
        // Each receive costs alike: what comes next waits for company.
        if (deliveries.length > 0 && deliveries.length < mostInReceive)
          await pause(gatherMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error }, 'tenant-results.postponed');
        await pause(retryEveryMs, signal);
      }
    }
  };
  /** Before their first event, so that services can subscribe. */
  const ensureLoop = async () => {
    while (!signal.aborted) {
      for (const topic of inForce.tenants().map(names.tenantResults))
        await deps
          .ensureTopic(topic)
          .catch((error: unknown) => logger.warn({ topic, error }, 'result-topic.not-made'));
      await pause(retryEveryMs, signal);
    }
  };
  const loops = Promise.all([ensureLoop(), ...Array.from({ length: receivers }, receiveLoop)]);
  return {
    stop: async () => {
      stopped.abort();
      await Promise.race([loops, pause(lastReceivesMs)]);
    },
  };
}

function parse(delivery: Delivery): unknown {
  try {
    return JSON.parse(delivery.body.toString('utf8'));
  } catch {
    return undefined;
  }
}
