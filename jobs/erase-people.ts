/**
 * Erases people who asked for it: what was registered of them, what waits for them, also in batches, and what the index tells of their
 * messages. Looks again for as long as something late may come in. One jobs process at a time does it.
 */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { Snapshot } from '../contracts/result.ts';
import { isEnd } from '../contracts/status.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Batches, DueErasure, Erasures } from '../store/index.ts';
import type { MessageIndex } from '../store/message-index.ts';

export interface ErasePeopleDeps {
  readonly erasures: Pick<Erasures, 'listDue' | 'clear' | 'markMembersCleared' | 'save'>;
  readonly batches: Pick<Batches, 'eraseMembers'>;
  readonly index: Pick<MessageIndex, 'findOfRecipients' | 'erase'>;
  readonly client: Client;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
}

const everyMs = 1000;
const pageSize = 200;
/** What was accepted just before may not be searchable yet. */
const settleMs = 30_000;
const soonMs = 2000;
const laterMs = 3_600_000;

/** Runs until stopped. A crash loses nothing: each step may be repeated. */
export function erasePeople(deps: ErasePeopleDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        if (await deps.holdsLease())
          for (const due of await deps.erasures.listDue(Date.now())) await look(deps, due);
      } catch (error) {
        logger.warn({ error }, 'erasures.postponed');
      }
      await pause(everyMs, stopped.signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

/** One look: erases what has ended, takes back what has not. */
async function look(deps: ErasePeopleDeps, due: DueErasure): Promise<void> {
  const { erasure, tenantId, recipientHashes } = due;
  const { id, createdAt, goneBy } = erasure;
  await deps.erasures.clear(id);
  const areMembersCleared =
    due.areMembersCleared ||
    (await deps.batches.eraseMembers({ tenantId, recipientHashes, until: createdAt }));
  if (areMembersCleared && !due.areMembersCleared) await deps.erasures.markMembersCleared(id);
  const found = await deps.index.findOfRecipients({
    tenantId,
    recipientHashes,
    until: createdAt,
    limit: pageSize,
  });
  const ended = found.filter(({ status }) => isEnd(status));
  for (const snapshot of ended) await deps.index.erase(snapshot, new Date().toISOString());
  for (const snapshot of found) if (!isEnd(snapshot.status)) await cancel(deps.client, snapshot);

  const nowMs = Date.now();
  const isDone =
    areMembersCleared && found.length === 0 && nowMs - Date.parse(createdAt) > settleMs;
  const isLast = isDone && nowMs > Date.parse(goneBy);
  await deps.erasures.save(id, {
    erased: ended.length,
    isDone,
    ...(!isLast && { nextLookMs: nowMs + (isDone ? laterMs : soonMs) }),
  });
  if (found.length > 0 || isDone)
    deps.logger.info(
      { erasureId: id, tenantId, erased: ended.length, open: found.length - ended.length, isDone },
      'person.erased',
    );
}

/** What waits in a run ends as recalled; what lies in a lane is recalled by the stop of its recipient. */
async function cancel(client: Client, { messageId }: Snapshot): Promise<void> {
  try {
    await client.workflow.getHandle(messageId).cancel();
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
