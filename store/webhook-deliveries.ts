/**
 * Events that wait for another try at their endpoint: what failed, what found its endpoint busy, what was replayed. An event
 * that arrives at once is never here. Any number of processes may take from it.
 */
import type { SealedColumn } from './sealed-columns.ts';
import type { Sealer } from '../platform/seal.ts';
import { inTransaction, type Database } from './database.ts';

export interface WebhookEventToSend {
  readonly eventId: string;
  readonly type: string;
  /** Missing for what is about no message. */
  readonly messageId?: string;
  /** To the byte as it is posted: each try sends the same. */
  readonly body: string;
}

/** An event that is to be tried at an endpoint later. */
export interface WebhookToKeep {
  readonly endpointId: string;
  readonly event: WebhookEventToSend;
  readonly tries: number;
  readonly nextTryAtMs: number;
}

export interface PendingWebhook extends WebhookEventToSend {
  readonly endpointId: string;
  /** Tries so far. */
  readonly tries: number;
  /** Epoch milliseconds since which it waits. */
  readonly sinceMs: number;
}

export interface WebhookDeliveries {
  /** Keeps events until they are settled, all or none; one that is kept already stays as it is. */
  keep(events: readonly WebhookToKeep[]): Promise<void>;
  /** Events to send now, also those that wait already: their tries are counted anew. */
  keepAnew(endpointId: string, events: readonly WebhookEventToSend[]): Promise<void>;
  /** Endpoints for which something is due. */
  dueEndpoints(nowMs: number): Promise<string[]>;
  /** Takes what is due; what is neither settled nor postponed within `claimMs` is due again, for anyone. */
  take(endpointId: string, nowMs: number, limit: number): Promise<PendingWebhook[]>;
  settle(endpointId: string, eventId: string): Promise<void>;
  postpone(
    pending: Pick<PendingWebhook, 'endpointId' | 'eventId'>,
    next: { readonly tries: number; readonly nextTryAtMs: number },
  ): Promise<void>;
  /** Makes due all that waits for an endpoint which works again. */
  hasten(endpointId: string, nowMs: number): Promise<void>;
  /** How many wait for an endpoint, counted up to `most`. */
  count(endpointId: string, most: number): Promise<number>;
  /** Endpoints for which more than `most` wait. */
  overfull(most: number): Promise<string[]>;
  removeOf(endpointId: string, limit: number): Promise<number>;
  /** Removes at most `limit` that have waited since before then: of endpoints that stayed disabled. */
  purge(sinceBeforeMs: number, limit: number): Promise<number>;
}

interface DeliveryRow {
  endpointId: string;
  eventId: string;
  type: string;
  messageId: string | null;
  body: string;
  tries: number;
  since: Date;
  nextTryAt: Date;
}

/** Longer than a call and the writing down of what came of it take. */
const claimMs = 30_000;

export function createWebhookDeliveries(db: Database, sealer: Sealer): WebhookDeliveries {
  const rows = () => db<DeliveryRow>('webhookDeliveries');
  const toRow = ({ endpointId, event, tries, nextTryAtMs }: WebhookToKeep): DeliveryRow => {
    const { eventId, type, messageId, body } = event;
    return {
      endpointId,
      eventId,
      type,
      messageId: messageId ?? null,
      body: sealer.seal(body, sealContext(eventId)),
      tries,
      since: new Date(),
      nextTryAt: new Date(nextTryAtMs),
    };
  };
  return {
    keep: async (events) => {
      if (events.length === 0) return;
      await rows().insert(events.map(toRow)).onConflict(['endpointId', 'eventId']).ignore();
    },
    keepAnew: async (endpointId, events) => {
      if (events.length === 0) return;
      const next = { tries: 0, nextTryAtMs: Date.now() };
      await rows()
        .insert(events.map((event) => toRow({ endpointId, event, ...next })))
        .onConflict(['endpointId', 'eventId'])
        .merge(['body', 'tries', 'since', 'nextTryAt']);
    },
    dueEndpoints: async (nowMs) => {
      const due = await rows()
        .select('endpointId')
        .groupBy('endpointId')
        .havingRaw('min(next_try_at) <= ?', [new Date(nowMs)]);
      return due.map(({ endpointId }) => endpointId);
    },
    take: (endpointId, nowMs, limit) =>
      inTransaction(db, async (trx) => {
        const taken = await trx<DeliveryRow>('webhookDeliveries')
          .where({ endpointId })
          .where('nextTryAt', '<=', new Date(nowMs))
          .orderBy('nextTryAt')
          .limit(limit)
          .forUpdate()
          .skipLocked();
        if (taken.length > 0)
          await trx<DeliveryRow>('webhookDeliveries')
            .where({ endpointId })
            .whereIn(
              'eventId',
              taken.map(({ eventId }) => eventId),
            )
            .update({ nextTryAt: new Date(nowMs + claimMs) });
        return taken.map((row) => ({
          endpointId,
          eventId: row.eventId,
          type: row.type,
          ...(row.messageId !== null && { messageId: row.messageId }),
          body: sealer.open(row.body, sealContext(row.eventId)).toString('utf8'),
          tries: row.tries,
          sinceMs: row.since.getTime(),
        }));
      }),
    settle: async (endpointId, eventId) => void (await rows().where({ endpointId, eventId }).del()),
    postpone: async ({ endpointId, eventId }, { tries, nextTryAtMs }) => {
      await rows()
        .where({ endpointId, eventId })
        .update({ tries, nextTryAt: new Date(nextTryAtMs) });
    },
    hasten: async (endpointId, nowMs) => {
      const now = new Date(nowMs);
      // What is in somebody's hands is left alone: it is due again within the time of a claim.
      await rows()
        .where({ endpointId })
        .where('nextTryAt', '>', new Date(nowMs + claimMs))
        .update({ nextTryAt: now });
    },
    count: async (endpointId, most) => {
      const some = rows().where({ endpointId }).select('eventId').limit(most).as('some');
      const [{ count = 0 } = {}] = await db.from(some).count({ count: '*' });
      return Number(count);
    },
    overfull: async (most) => {
      const full = await rows()
        .select('endpointId')
        .groupBy('endpointId')
        .havingRaw('count(*) > ?', [most]);
      return full.map(({ endpointId }) => endpointId);
    },
    removeOf: (endpointId, limit) => rows().where({ endpointId }).limit(limit).del(),
    purge: (sinceBeforeMs, limit) =>
      rows().where('since', '<', new Date(sinceBeforeMs)).limit(limit).del(),
  };
}

const sealContext = (eventId: string) => `webhook-event:${eventId}`;

export const sealedWebhookEvents: SealedColumn<{ eventId: string }> = {
  what: 'events that wait for an endpoint',
  table: 'webhookDeliveries',
  column: 'body',
  keys: ['endpointId', 'eventId'],
  form: 'direct',
  context: ({ eventId }) => sealContext(eventId),
};
