/**
 * Results → webhooks, the first try. An event is acknowledged once every endpoint that wants it has it, or a later try is
 * written down: killed before that, the event comes again. What an endpoint has no room for is written down at once, so that
 * a slow one holds up nobody.
 */
import { setMaxListeners } from 'node:events';
import { eventsIn, MessageEventSchema, type Snapshot } from '../../contracts/result.ts';
import type { Names } from '../../contracts/topics.ts';
import { isTold, webhookEvent, type ToldStatus } from '../../contracts/webhooks.ts';
import { pause } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import { createLru } from '../../platform/lru.ts';
import type { Delivery, Receiver } from '../../platform/queue.ts';
import { createValidator } from '../../platform/validate.ts';
import type {
  EndpointsInForce,
  KnownEndpoint,
  WebhookDeliveries,
  WebhookEventToSend,
} from '../../store/index.ts';
import type { EndpointLanes } from './endpoint-lanes.ts';
import { createKeepEvents } from './keep-events.ts';
import type { SendWebhook } from './send-webhook.ts';

export interface TellResultsDeps {
  readonly receiver: Receiver;
  readonly names: Pick<Names, 'results'>;
  readonly inForce: EndpointsInForce;
  readonly lanes: EndpointLanes;
  readonly deliveries: Pick<WebhookDeliveries, 'keep'>;
  readonly send: SendWebhook;
  readonly logger: Logger;
}

interface Told {
  readonly tenantId: string;
  readonly status: ToldStatus;
  readonly snapshot: Snapshot;
}

const mostInReceive = 32;
/** Concurrent receives with a backlog. */
const widest = 8;
/** Received and not acknowledged, in bytes: some seconds of a busy installation. */
const mostInHand = 16 * 1024 * 1024;
const gatherMs = 200;
const acknowledgeEveryMs = 50;
const retryEveryMs = 1000;
const remembered = 20_000;
/** Idle receives end by themselves only after the server's long poll: stop does not wait for those. */
const lastReceivesMs = 1000;
const validator = createValidator(MessageEventSchema);

/** Runs until stopped. */
export function tellResults(deps: TellResultsDeps): { stop(): Promise<void> } {
  const { receiver, names, inForce, lanes, deliveries, logger } = deps;
  const stopped = new AbortController();
  const { signal } = stopped;
  // Every call under way listens.
  setMaxListeners(0, signal);
  /** Delivered from here: an event that comes again is not sent again. */
  const delivered = createLru<true>(remembered);
  const inHand = new Set<Promise<void>>();
  let bytesInHand = 0;
  let done: Delivery[] = [];

  const keep = createKeepEvents({ deliveries, logger, signal });
  /** False: this process stops. */
  const tell = async (known: KnownEndpoint, event: WebhookEventToSend): Promise<boolean> => {
    const endpointId = known.endpoint.id;
    const key = `${endpointId} ${event.eventId}`;
    if (delivered.get(key) === true) return true;
    const nowMs = Date.now();
    const lane = lanes.of(known);
    const place = lane.enter(nowMs);
    if (place === undefined)
      return keep({ endpointId, event, tries: 0, nextTryAtMs: Math.max(nowMs, lane.openAtMs) });
    const sent = await deps.send(known, { place, event, tries: 0, sinceMs: nowMs, signal });
    if (sent.result === 'failed') return keep({ endpointId, event, ...sent });
    if (sent.result === 'delivered') delivered.set(key, true);
    return sent.result !== 'aborted';
  };
  const take = async (delivery: Delivery): Promise<void> => {
    const results = await Promise.all(readTold(delivery, logger).map(takeOne));
    if (!signal.aborted && results.every(Boolean)) done.push(delivery);
  };
  /** Whether everybody who wants it has it, or has it written down. */
  const takeOne = async ({ tenantId, status, snapshot }: Told): Promise<boolean> => {
    // Made only where somebody wants it: most tenants have no endpoint.
    let made: WebhookEventToSend | undefined;
    const tellAll = (wanting: readonly KnownEndpoint[]) =>
      Promise.all(wanting.map((known) => tell(known, (made ??= eventOf(snapshot)))));
    // Asked twice: at once, and when a newer look has seen what was made just before the event.
    const looked = inForce.looked();
    const first = inForce.wanting(tenantId, status);
    const results = await tellAll(first);
    await looked;
    const before = new Set(first.map(({ endpoint }) => endpoint.id));
    const newer = inForce
      .wanting(tenantId, status)
      .filter(({ endpoint }) => !before.has(endpoint.id));
    results.push(...(await tellAll(newer)));
    return results.every(Boolean);
  };
  const takeInHand = (delivery: Delivery) => {
    const taken: Promise<void> = take(delivery)
      .catch((error: unknown) => logger.error({ key: delivery.key, error }, 'webhook.defect'))
      .finally(() => {
        inHand.delete(taken);
        bytesInHand -= delivery.body.length;
      });
    inHand.add(taken);
    bytesInHand += delivery.body.length;
  };

  const receiveLoop = (async () => {
    let width = 1;
    while (!signal.aborted) {
      // Without the database nothing can be written down.
      if (inForce.isStale || bytesInHand >= mostInHand) {
        await pause(acknowledgeEveryMs, signal);
        continue;
      }
      try {
        const received = await Promise.all(
          Array.from({ length: width }, () => receiver.receive(names.results, mostInReceive)),
        );
        if (signal.aborted) return;
        for (const delivery of received.flat()) takeInHand(delivery);
        const isBehind = received.every(({ length }) => length === mostInReceive);
        width = isBehind ? Math.min(width * 2, widest) : 1;
        // Each receive costs alike: what comes next waits for company.
        if (!isBehind && received.some(({ length }) => length > 0)) await pause(gatherMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error }, 'webhooks.postponed');
        await pause(retryEveryMs, signal);
      }
    }
  })();
  const acknowledge = async () => {
    const now = done;
    done = [];
    if (now.length === 0) return;
    await receiver
      .acknowledge(now)
      .catch((error: unknown) => logger.warn({ error }, 'webhooks.not-acknowledged'));
  };
  const acknowledgeLoop = (async () => {
    while (!signal.aborted) {
      await pause(acknowledgeEveryMs, signal);
      await acknowledge();
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await Promise.race([receiveLoop, pause(lastReceivesMs)]);
      await acknowledgeLoop;
      await Promise.race([Promise.all(inHand), pause(lastReceivesMs)]);
      await acknowledge();
    },
  };
}

/** What is to be told of a delivery; what cannot be read is left out, the indexer keeps and tells it. */
function readTold(delivery: Delivery, logger: Logger): readonly Told[] {
  let value: unknown;
  try {
    value = JSON.parse(delivery.body.toString('utf8'));
  } catch {
    value = undefined;
  }
  return eventsIn(value).flatMap((event): Told[] => {
    if (!validator.check(event)) {
      logger.error({ key: delivery.key }, 'webhook.event-unreadable');
      return [];
    }
    const { tenantId, status } = event.data;
    return isTold(status) ? [{ tenantId, status, snapshot: event.data }] : [];
  });
}

function eventOf(snapshot: Snapshot): WebhookEventToSend {
  const event = webhookEvent(snapshot);
  const { messageId } = snapshot;
  return { eventId: event.id, type: event.type, messageId, body: JSON.stringify(event) };
}
