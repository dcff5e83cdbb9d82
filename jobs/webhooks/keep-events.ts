/** Events on their way into the database: some at a time, one write after the other, again until they are there. */
import { pause } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import type { WebhookDeliveries, WebhookToKeep } from '../../store/index.ts';

export interface KeepEventsDeps {
  readonly deliveries: Pick<WebhookDeliveries, 'keep'>;
  readonly logger: Logger;
  /** Aborted: this process stops, and what is not written yet is not written. */
  readonly signal: AbortSignal;
}

const mostInWrite = 200;
const retryEveryMs = 1000;

/** Resolves once the event is kept; false: this process stops. */
export type KeepEvent = (event: WebhookToKeep) => Promise<boolean>;

export function createKeepEvents({ deliveries, logger, signal }: KeepEventsDeps): KeepEvent {
  let waiting: { readonly event: WebhookToKeep; readonly resolve: (isKept: boolean) => void }[] =
    [];
  let isWriting = false;
  const write = async () => {
    isWriting = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, mostInWrite);
      try {
        if (!signal.aborted) await deliveries.keep(batch.map(({ event }) => event));
      } catch (error) {
        logger.warn({ error, events: batch.length }, 'webhooks.not-kept');
        await pause(retryEveryMs, signal);
        if (!signal.aborted) continue;
      }
      waiting = waiting.slice(batch.length);
      for (const { resolve } of batch) resolve(!signal.aborted);
    }
    isWriting = false;
  };
  return (event) =>
    new Promise((resolve) => {
      waiting.push({ event, resolve });
      if (!isWriting) void write();
    });
}
