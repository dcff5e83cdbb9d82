/** Events that wait → webhooks: each endpoint at its own pace, none waiting for another. */
import { setMaxListeners } from 'node:events';
import { pause } from '../../platform/lifecycle.ts';
import type {
  EndpointsInForce,
  KnownEndpoint,
  PendingWebhook,
  WebhookDeliveries,
} from '../../store/index.ts';
import { disableEndpoint, type DisableDeps } from './disable-endpoint.ts';
import { mostAtOnce, type EndpointLanes, type Lane, type Place } from './endpoint-lanes.ts';
import type { SendWebhook } from './send-webhook.ts';

export interface RetryWebhooksDeps extends DisableDeps {
  readonly inForce: EndpointsInForce;
  readonly lanes: EndpointLanes;
  readonly deliveries: Pick<
    WebhookDeliveries,
    'dueEndpoints' | 'take' | 'settle' | 'postpone' | 'overfull' | 'removeOf'
  >;
  readonly send: SendWebhook;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
}

const lookEveryMs = 500;
const countEveryMs = 30_000;
/** Half of an endpoint's places: the rest is for what has just happened. */
const mostRetriesAtOnce = mostAtOnce / 2;
/** More waiting than this disables an endpoint; a replay brings it all. */
const mostWaiting = 100_000;
const mostInRemove = 1000;
/** Calls that were cut off end at once. */
const lastTriesMs = 2000;

/** Runs until stopped; several processes may. */
export function retryWebhooks(deps: RetryWebhooksDeps): { stop(): Promise<void> } {
  const { inForce, lanes, deliveries, logger, now = Date.now } = deps;
  const stopped = new AbortController();
  const { signal } = stopped;
  // Every call under way listens.
  setMaxListeners(0, signal);
  const pumps = new Map<string, Promise<void>>();
  let countAtMs = 0;

  const retry = async (known: KnownEndpoint, place: Place, pending: PendingWebhook) => {
    const { endpointId, eventId, tries, sinceMs } = pending;
    const sent = await deps.send(known, { place, event: pending, tries, sinceMs, signal });
    if (sent.result === 'failed') await deliveries.postpone(pending, sent);
    else if (sent.result !== 'aborted') await deliveries.settle(endpointId, eventId);
  };
  const pump = async (endpointId: string) => {
    while (!signal.aborted) {
      const known = inForce.enabled(endpointId);
      if (known === undefined) return;
      const nowMs = now();
      const places = placesIn(lanes.of(known), nowMs);
      if (places.length === 0) return;
      const wanted = places.length;
      const taken = await deliveries.take(endpointId, nowMs, wanted).catch((error: unknown) => {
        for (const place of places) place.release();
        throw error;
      });
      for (const unused of places.splice(taken.length)) unused.release();
      await Promise.all(
        places.map((place, index) => retry(known, place, taken[index] as PendingWebhook)),
      );
      if (taken.length < wanted) return;
    }
  };
  const start = (endpointId: string) => {
    if (pumps.has(endpointId)) return;
    const pumping = pump(endpointId)
      .catch((error: unknown) => logger.warn({ endpointId, error }, 'webhook-retries.postponed'))
      .finally(() => pumps.delete(endpointId));
    pumps.set(endpointId, pumping);
  };
  const disableOverfull = async () => {
    for (const endpointId of await deliveries.overfull(mostWaiting)) {
      const known = inForce.enabled(endpointId);
      const detail = `More than ${mostWaiting} events wait for it.`;
      if (known !== undefined) await disableEndpoint(deps, known, { code: 'backlog', detail });
    }
  };
  /** It may have been made since the newest look at the endpoints. */
  const isGone = async (endpointId: string) => {
    if (!inForce.exists(endpointId)) await inForce.looked();
    return !inForce.exists(endpointId) && !signal.aborted;
  };
  const look = async () => {
    for (const endpointId of await deliveries.dueEndpoints(now())) {
      if (inForce.enabled(endpointId) !== undefined) start(endpointId);
      else if (await isGone(endpointId)) await deliveries.removeOf(endpointId, mostInRemove);
    }
    lanes.keepOnly((endpointId) => inForce.exists(endpointId));
    if (now() < countAtMs) return;
    countAtMs = now() + countEveryMs;
    await disableOverfull();
  };
  const loop = (async () => {
    while (!signal.aborted) {
      try {
        if (!inForce.isStale) await look();
      } catch (error) {
        logger.warn({ error }, 'webhook-retries.postponed');
      }
      await pause(lookEveryMs, signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
      await Promise.race([Promise.all(pumps.values()), pause(lastTriesMs)]);
    },
  };
}

/** Places for as many retries as may begin now. */
function placesIn(lane: Lane, nowMs: number): Place[] {
  const places: Place[] = [];
  for (let place = lane.enter(nowMs); place !== undefined; place = lane.enter(nowMs)) {
    places.push(place);
    if (places.length === mostRetriesAtOnce) break;
  }
  return places;
}
