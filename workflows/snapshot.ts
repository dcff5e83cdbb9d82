/** The last snapshot of a run, from its input and how it ended. Pure, so that replay makes the same one. */
import type { Attempt, Reason, Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import type { Status } from '../contracts/status.ts';
import type { DeliverInput } from '../contracts/workflows.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';

interface Ending {
  readonly status: Status;
  readonly attempts: number;
  readonly templateVersion?: number;
  readonly providerId?: string;
  readonly reason?: Reason;
  readonly attempt?: Attempt;
  readonly content?: string;
}

export function toSnapshot(input: DeliverInput, ending: Ending, updatedAt: string): Snapshot {
  return {
    ...snapshotBase(input.message),
    ...ending,
    redrive: input.redrive,
    sequence: sequences.end,
    updatedAt,
  };
}
