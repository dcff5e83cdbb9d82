/**
 * Attempts on their way into the database, some at a time. They are for people to look at: what a kill takes, or a database
 * that is away for long, is missed by nobody's delivery.
 */
import type { WebhookAttempt } from '../../contracts/webhooks.ts';
import { pause } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import type { RecordedAttempt, WebhookAttempts } from '../../store/index.ts';

/** Of one endpoint. */
export const keptAttempts = 1000;
const flushEveryMs = 500;
const mostInTrim = 10_000;

export interface AttemptLog {
  add(endpointId: string, attempt: WebhookAttempt): void;
  stop(): Promise<void>;
}

/** Runs until stopped. */
export function createAttemptLog(deps: {
  readonly attempts: Pick<WebhookAttempts, 'record' | 'trim'>;
  readonly logger: Logger;
}): AttemptLog {
  const { attempts, logger } = deps;
  const stopped = new AbortController();
  const waiting = new Map<string, WebhookAttempt[]>();
  const sinceTrim = new Map<string, number>();
  const flush = async () => {
    const batches = [...waiting];
    waiting.clear();
    const rows = batches.flatMap(([endpointId, list]) =>
      list.map((attempt): RecordedAttempt => ({ endpointId, attempt })),
    );
    try {
      await attempts.record(rows);
      for (const [endpointId, list] of batches) {
        const count = (sinceTrim.get(endpointId) ?? 0) + list.length;
        sinceTrim.set(endpointId, count % keptAttempts);
        if (count >= keptAttempts) await attempts.trim(endpointId, keptAttempts, mostInTrim);
      }
    } catch (error) {
      logger.warn({ error, attempts: rows.length }, 'webhook-attempts.not-recorded');
    }
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await pause(flushEveryMs, stopped.signal);
      if (waiting.size > 0) await flush();
    }
  })();
  return {
    add: (endpointId, attempt) => {
      const list = waiting.get(endpointId) ?? [];
      waiting.set(endpointId, list);
      list.push(attempt);
      // More would be trimmed anyway.
      if (list.length > keptAttempts) list.shift();
    },
    stop: async () => {
      stopped.abort();
      await loop;
      if (waiting.size > 0) await flush();
    },
  };
}
