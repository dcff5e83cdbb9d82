/**
 * Receipts that providers do not push, or that were lost on their way: the provider is asked for them, at the times its
 * connector names. What it says goes onto the receipts topic like any pushed receipt. One jobs process at a time asks.
 */
import type { AccountAccess, Connector, ConnectorClient } from '../contracts/channel.ts';
import { addressAs, type To } from '../contracts/message.ts';
import { reachedAt, type Person } from '../contracts/people.ts';
import type { Receipt, Snapshot } from '../contracts/result.ts';
import type { Account } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import { deliveryKey } from '../platform/delivery-key.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Publisher } from '../platform/queue.ts';

export interface AskDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly accounts: () => Promise<readonly Account[]>;
  readonly access: (accountId: string) => Promise<AccountAccess | undefined>;
  /** Sent messages without a receipt, by when they were sent. Errors: the index does not answer. */
  readonly awaitingReceipt: (
    accountId: string,
    span: { fromMs: number; untilMs: number; limit: number },
  ) => Promise<readonly Snapshot[]>;
  /** The recipient of a message; undefined when its sealed request is gone. */
  readonly recipientOf: (snapshot: Snapshot) => Promise<To | undefined>;
  readonly personOf: (key: { tenantId: string; userId: string }) => Promise<Person | undefined>;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** How often it looks for messages that are due. */
  readonly everyMs: number;
}

/** Asked about in one go; what is beyond comes in the next round. */
const pageSize = 500;
/** After a start, those that became due this long before are asked about again: asking twice does no harm. */
const lookBackMs = 3_600_000;

/** Runs until stopped. */
export function askReceipts(deps: AskDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const told = deps.metrics.counter(
    'receipts_asked_total',
    'Sent messages whose receipt the provider was asked for, by whether it had news.',
    ['connector', 'result'],
  );
  /** account, wait → up to which time of sending the provider has been asked. */
  const asked = new Map<string, number>();

  const askAccount = async (account: Account, connector: Connector) => {
    for (const waitMs of connector.capabilities.askReceiptsAfterMs) {
      const untilMs = Date.now() - waitMs;
      const place = `${account.id}/${waitMs}`;
      const fromMs = asked.get(place) ?? untilMs - lookBackMs;
      const due = await deps.awaitingReceipt(account.id, { fromMs, untilMs, limit: pageSize });
      if (due.length > 0) await askFor(account, connector, due);
      const last = due.at(-1);
      asked.set(
        place,
        due.length < pageSize || last === undefined ? untilMs : Date.parse(last.updatedAt),
      );
    }
  };
  const askFor = async (account: Account, connector: Connector, due: readonly Snapshot[]) => {
    const access = await deps.access(account.id);
    if (access === undefined) return;
    const client = connector.createClient(access);
    try {
      const receipts = await ask(deps, client, { connector, due, signal: stopped.signal });
      const receivedAt = new Date().toISOString();
      for (const entry of receipts) {
        const receipt: Receipt = {
          version: 1,
          connector: connector.name,
          accountId: account.id,
          tenantId: account.tenantId,
          receivedAt,
          ...entry,
        };
        await deps.publisher.publish(
          deps.names.receipts,
          {
            key: receipt.deliveryKey ?? receipt.providerId ?? account.id,
            body: JSON.stringify(receipt),
          },
          { deadlineMs: 5000 },
        );
      }
      told.inc({ connector: connector.name, result: 'news' }, receipts.length);
      told.inc({ connector: connector.name, result: 'nothing' }, due.length - receipts.length);
      logger.info(
        { accountId: account.id, asked: due.length, news: receipts.length },
        'receipts.asked',
      );
    } finally {
      await client.close();
    }
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        if (await deps.holdsLease())
          for (const account of await deps.accounts()) {
            const connector = deps.connectors.get(account.connector);
            if (connector === undefined || connector.capabilities.askReceiptsAfterMs.length === 0)
              continue;
            await askAccount(account, connector).catch((error: unknown) =>
              logger.warn({ accountId: account.id, error }, 'receipts.not-asked'),
            );
          }
      } catch (error) {
        logger.warn({ error }, 'receipts.not-asked');
      }
      await pause(deps.everyMs, stopped.signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

async function ask(
  deps: AskDeps,
  client: ConnectorClient,
  of: {
    readonly connector: Connector;
    readonly due: readonly Snapshot[];
    readonly signal: AbortSignal;
  },
) {
  const messages = await Promise.all(
    of.due.map(async (snapshot) => {
      const named = await deps.recipientOf(snapshot);
      if (named === undefined) return [];
      const { messageId, tenantId, redrive, connector, providerId, updatedAt } = snapshot;
      const userId = addressAs('userId', named);
      const person = userId === undefined ? undefined : await deps.personOf({ tenantId, userId });
      const to = reachedAt(of.connector, named, person);
      if (to === undefined) return [];
      const key = deliveryKey({ messageId, redrive, connector, to: named });
      return [{ to, deliveryKey: key, providerId, sentAt: updatedAt }];
    }),
  );
  return (await client.askReceipts?.(messages.flat(), of.signal)) ?? [];
}
