/** One try of one event at one endpoint: the signed call, what it means, and what follows for the endpoint. */
import type { WebhookAttempt } from '../../contracts/webhooks.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { retryAfterMs, type ProviderAnswer } from '../../platform/provider-http.ts';
import { signWebhook } from '../../platform/webhook-signature.ts';
import type {
  KnownEndpoint,
  WebhookDeliveries,
  WebhookEndpoints,
  WebhookEventToSend,
} from '../../store/index.ts';
import type { AttemptLog } from './attempt-log.ts';
import type { EndpointLanes, Place } from './endpoint-lanes.ts';
import { disableEndpoint, type DisableDeps } from './disable-endpoint.ts';
import { nextTryAtMs } from './schedule.ts';

export interface SendWebhookDeps extends DisableDeps {
  readonly lanes: EndpointLanes;
  readonly endpoints: Pick<WebhookEndpoints, 'disable' | 'markFailing' | 'markWorking'>;
  readonly deliveries: Pick<WebhookDeliveries, 'hasten'>;
  readonly attempts: Pick<AttemptLog, 'add'>;
  readonly metrics: Metrics;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
}

export interface Try {
  /** In the endpoint's lane; ended here. */
  readonly place: Place;
  readonly event: WebhookEventToSend;
  /** Tries before this one, and since when the event waits. */
  readonly tries: number;
  readonly sinceMs: number;
  /** Aborted: this process stops; the try counts for nothing. */
  readonly signal: AbortSignal;
}

export type Sent =
  | { readonly result: 'delivered' | 'given-up' | 'aborted' }
  | { readonly result: 'failed'; readonly tries: number; readonly nextTryAtMs: number };

/** The specification asks for 15 to 30 s: receivers do their work before they answer. */
export const callTimeoutMs = 15_000;
/** An endpoint at which nothing has succeeded for so long is disabled. */
export const disableAfterMs = 5 * 86_400_000;
const markEveryMs = 1000;

export type SendWebhook = (known: KnownEndpoint, attempt: Try) => Promise<Sent>;

/** Makes the try. Does not throw for what a receiver, a network or our servers do. */
export function createSendWebhook(deps: SendWebhookDeps): SendWebhook {
  const { lanes, attempts, logger, now = Date.now } = deps;
  const counter = deps.metrics.counter(
    'webhooks_attempted_total',
    'Tries of result webhooks by what became of them.',
    ['outcome'],
  );
  const health = createHealth(deps);

  return async (known, { place, event, tries, sinceMs, signal }) => {
    const { id: endpointId, tenantId, url } = known.endpoint;
    const startedMs = now();
    const { pathname, search } = new URL(url);
    const answer = await lanes.of(known).http.call({
      method: 'POST',
      path: pathname + search,
      headers: headersOf(known, event, startedMs),
      body: event.body,
      signal,
    });
    const nowMs = now();
    const status = answer.kind === 'answer' ? answer.status : undefined;
    const isDelivered = status !== undefined && status >= 200 && status < 300;
    const wantsPauseMs = isDelivered ? undefined : pauseOf(answer, nowMs);
    const isAborted = !isDelivered && signal.aborted;
    const wasBroken = place.end({ isDelivered, retryAfterMs: wantsPauseMs }, nowMs);
    if (isAborted) return { result: 'aborted' };

    const next = isDelivered
      ? undefined
      : nextTryAtMs({
          tries: tries + 1,
          sinceMs,
          nowMs,
          retryAfterMs: wantsPauseMs,
          random: Math.random(),
        });
    const outcome = isDelivered ? 'delivered' : next === undefined ? 'given-up' : 'failed';
    const attempt: WebhookAttempt = {
      eventId: event.eventId,
      type: event.type,
      ...(event.messageId !== undefined && { messageId: event.messageId }),
      startedAt: new Date(startedMs).toISOString(),
      durationMs: nowMs - startedMs,
      attempt: tries + 1,
      outcome,
      ...(status === undefined ? { detail: causeOf(answer) } : { statusCode: status }),
      ...(next !== undefined && { nextAttemptAt: new Date(next).toISOString() }),
    };
    attempts.add(endpointId, attempt);
    counter.inc({ outcome });
    logger.info({ endpointId, tenantId, ...attempt }, 'webhook.attempted');
    if (isDelivered) await health.worked(known, wasBroken);
    else await health.failed(known, { status, startedMs, nowMs });
    if (next !== undefined) return { result: 'failed', tries: tries + 1, nextTryAtMs: next };
    return { result: isDelivered ? 'delivered' : 'given-up' };
  };
}

function headersOf(known: KnownEndpoint, { eventId, body }: WebhookEventToSend, nowMs: number) {
  const timestamp = String(Math.floor(nowMs / 1000));
  return {
    'content-type': 'application/json',
    'user-agent': 'message-center',
    'webhook-id': eventId,
    'webhook-timestamp': timestamp,
    'webhook-signature': signWebhook(known.secrets(nowMs), { id: eventId, timestamp, body }),
  };
}

/** How long a receiver that is overloaded asks to be left alone. */
function pauseOf(answer: ProviderAnswer, nowMs: number): number | undefined {
  if (answer.kind !== 'answer' || ![429, 502, 503, 504].includes(answer.status)) return undefined;
  return retryAfterMs(answer.headers, nowMs);
}

const causeOf = (answer: ProviderAnswer): string =>
  answer.kind === 'answer' ? '' : answer.cause.slice(0, 200);

/** What an endpoint's successes and failures lead to. Nothing of it undoes a try. */
function createHealth(deps: SendWebhookDeps) {
  const { endpoints, deliveries, logger } = deps;
  const markedAt = new Map<string, number>();
  const orLogged = async (endpointId: string, work: Promise<unknown>) => {
    await work.catch((error: unknown) =>
      logger.warn({ endpointId, error }, 'webhook.state-not-kept'),
    );
  };
  /** Many tries end before the mark is seen here: one of them writes it. */
  const isMine = (endpointId: string, nowMs: number) => {
    if (nowMs - (markedAt.get(endpointId) ?? 0) < markEveryMs) return false;
    markedAt.set(endpointId, nowMs);
    return true;
  };
  return {
    worked: async ({ endpoint: { id, failingSince } }: KnownEndpoint, wasBroken: boolean) => {
      const nowMs = Date.now();
      if (failingSince === undefined) markedAt.delete(id);
      else if (isMine(id, nowMs)) await orLogged(id, endpoints.markWorking(id));
      // It was away, and what waits for it would wait for hours.
      if (wasBroken) await orLogged(id, deliveries.hasten(id, nowMs));
    },
    failed: async (
      known: KnownEndpoint,
      {
        status,
        startedMs,
        nowMs,
      }: { status: number | undefined; startedMs: number; nowMs: number },
    ) => {
      const { id, failingSince } = known.endpoint;
      if (status === 410) {
        const detail = 'It answered 410: it wants no events any more.';
        await orLogged(id, disableEndpoint(deps, known, { code: 'gone', detail }));
      } else if (failingSince === undefined) {
        if (isMine(id, Date.now())) await orLogged(id, endpoints.markFailing(id, startedMs));
      } else if (nowMs - Date.parse(failingSince) >= disableAfterMs) {
        const detail = `Nothing has succeeded since ${failingSince}.`;
        await orLogged(id, disableEndpoint(deps, known, { code: 'failing', detail }));
      }
    },
  };
}
