/**
 * Stage 8: where is this message? Right from the moment of the 202: the index when it knows the end, else the run, else
 * "accepted", because an id that carries our MAC was given by us.
 */
import { problem } from '../contracts/problems.ts';
import type { Attempt, Snapshot } from '../contracts/result.ts';
import { isEnd } from '../contracts/status.ts';
import type { Logger } from '../platform/logger.ts';
import { messageIdTimeMs, type MessageIds } from '../platform/message-id.ts';
import { publicMessage, type PublicMessage } from '../contracts/public-message.ts';
import type { RunStatus } from '../platform/run-status.ts';

export interface StatusDeps {
  readonly ids: MessageIds;
  readonly logger: Logger;
  /** The newest snapshot that the index holds. Errors: the index does not answer. */
  readonly snapshotOf: (
    messageId: string,
    createdMs: number | undefined,
  ) => Promise<Snapshot | undefined>;
  readonly attemptsOf: (snapshot: Snapshot) => Promise<readonly Attempt[]>;
  /** What the run says now. Errors: Temporal does not answer. */
  readonly runOf: (messageId: string) => Promise<RunStatus | undefined>;
}

export type MessageStatus = Partial<PublicMessage> &
  Pick<PublicMessage, 'id' | 'status'> & { readonly timeline: readonly Attempt[] };

/** The status and timeline of a message. Errors: message-not-found; search-unavailable when neither index nor Temporal answers. */
export async function getMessageStatus(
  deps: StatusDeps,
  request: { tenantId: string; messageId: string },
): Promise<MessageStatus> {
  const { messageId, tenantId } = request;
  if (!deps.ids.isGenuine(messageId, tenantId))
    throw problem('message-not-found', {
      detail: `${messageId} is not the id of a message of this tenant.`,
    });

  const unavailable: string[] = [];
  const orElse = async <T>(server: string, asked: Promise<T>): Promise<T | undefined> => {
    try {
      return await asked;
    } catch (error) {
      deps.logger.warn({ server, error, messageId }, 'status.partial');
      unavailable.push(server);
      return undefined;
    }
  };
  const snapshot = await orElse(
    'Elasticsearch',
    deps.snapshotOf(messageId, messageIdTimeMs(messageId)),
  );
  const timeline =
    snapshot === undefined
      ? []
      : ((await orElse('Elasticsearch', deps.attemptsOf(snapshot))) ?? []);
  if (snapshot !== undefined && isEnd(snapshot.status))
    return { ...publicMessage(snapshot), timeline };

  const run = await orElse('Temporal', deps.runOf(messageId));
  if (unavailable.length > 0 && snapshot === undefined && run === undefined)
    throw problem('search-unavailable', {
      detail: `${[...new Set(unavailable)].join(' and ')} cannot be asked now.`,
      retryAfterSeconds: 2,
    });
  if (run === undefined)
    return {
      id: messageId,
      status: 'accepted',
      ...(snapshot !== undefined && publicMessage(snapshot)),
      timeline,
    };
  const { runId: _runId, ...live } = run;
  return {
    id: messageId,
    ...(snapshot !== undefined && publicMessage(snapshot)),
    ...live,
    timeline,
  };
}
