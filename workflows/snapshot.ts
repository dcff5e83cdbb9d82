/** The snapshots a run tells, from its message and where it stands. Pure, so that replay makes the same ones. */
import type { UsedLocale } from '../contracts/locale.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import type { Attempt, Reason, Snapshot } from '../contracts/result.ts';
import type { Status } from '../contracts/status.ts';
import type { Tried } from '../contracts/tried.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';

interface State {
  readonly status: Status;
  readonly attempts: number;
  readonly tried?: Tried;
  readonly templateVersion?: number;
  readonly language?: UsedLocale;
  readonly providerId?: string;
  readonly reason?: Reason;
  readonly attempt?: Attempt;
  readonly content?: string;
  readonly nextAttemptAt?: string;
}

/** `message`: as it is tried now, on the way that the state is about. */
export function toSnapshot(
  message: AcceptedMessage,
  state: State,
  at: { readonly redrive: number; readonly sequence: number; readonly updatedAt: string },
): Snapshot {
  const { status, attempts, templateVersion, providerId, reason, attempt, content, nextAttemptAt } =
    state;
  return {
    ...snapshotBase(message),
    status,
    attempts,
    ...state.tried,
    ...(templateVersion !== undefined && { templateVersion }),
    ...state.language,
    ...(providerId !== undefined && { providerId }),
    ...(reason !== undefined && { reason }),
    ...(attempt !== undefined && { attempt }),
    ...(content !== undefined && { content }),
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
    ...at,
  };
}
