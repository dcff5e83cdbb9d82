/** What was tried at each webhook endpoint lately: the newest 1,000, and none older than a week. */
import { WebhookAttemptSchema, type WebhookAttempt } from '../contracts/webhooks.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson, type Database } from './database.ts';

export interface RecordedAttempt {
  readonly endpointId: string;
  readonly attempt: WebhookAttempt;
}

export interface WebhookAttempts {
  /** In one write. */
  record(attempts: readonly RecordedAttempt[]): Promise<void>;
  /** Newest first; `after` is the `key` of the last one of the page before. */
  list(
    endpointId: string,
    page: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<{ readonly key: string; readonly attempt: WebhookAttempt }[]>;
  /** Leaves the newest `kept` of an endpoint; resolves with how many went, `limit` at most. */
  trim(endpointId: string, kept: number, limit: number): Promise<number>;
  /** Endpoints with more than `most`. */
  overfull(most: number): Promise<string[]>;
  purge(startedBeforeMs: number, limit: number): Promise<number>;
}

interface AttemptRow {
  id: number;
  endpointId: string;
  attempt: string;
  startedAt: Date;
}

const validator = createValidator(WebhookAttemptSchema);

export function createWebhookAttempts(db: Database): WebhookAttempts {
  const rows = () => db<AttemptRow>('webhookAttempts');
  return {
    record: async (attempts) => {
      if (attempts.length === 0) return;
      await rows().insert(
        attempts.map(({ endpointId, attempt }) => ({
          endpointId,
          attempt: JSON.stringify(attempt),
          startedAt: new Date(attempt.startedAt),
        })),
      );
    },
    list: async (endpointId, { after, limit }) => {
      const found = rows().where({ endpointId }).orderBy('id', 'desc').limit(limit);
      if (after !== undefined) void found.where('id', '<', Number(after) || 0);
      return (await found).map((row) => ({
        key: String(row.id),
        attempt: readJson(row.attempt, validator, `webhook attempt ${row.id}`),
      }));
    },
    trim: async (endpointId, kept, limit) => {
      const oldestKept = await rows()
        .where({ endpointId })
        .orderBy('id', 'desc')
        .offset(kept - 1)
        .first('id');
      if (oldestKept === undefined) return 0;
      return rows().where({ endpointId }).where('id', '<', oldestKept.id).limit(limit).del();
    },
    overfull: async (most) => {
      const full = await rows()
        .select('endpointId')
        .groupBy('endpointId')
        .havingRaw('count(*) > ?', [most]);
      return full.map(({ endpointId }) => endpointId);
    },
    purge: (startedBeforeMs, limit) =>
      rows().where('startedAt', '<', new Date(startedBeforeMs)).limit(limit).del(),
  };
}
