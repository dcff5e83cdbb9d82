/** What an attempt leaves for the next one, in the heartbeat details that are sent with its failure. */
import type { Reason } from '../contracts/result.ts';
import type { Tried } from '../contracts/tried.ts';

/** A call that the provider may have taken, and how often it was asked about it. */
export interface Doubt {
  readonly sentAt: string;
  readonly asked: number;
}

/** How one address ended. `failureType` as the workflow knows it. */
export type End =
  | { readonly isDone: true; readonly providerId?: string }
  | { readonly isDone: false; readonly failureType: string; readonly reason: Reason };

/** One address of the recipient; most have one, a person with three phones three. */
export interface TargetProgress {
  /** Provider calls concluded: what the attempt budget counts. */
  readonly calls: number;
  readonly doubt?: Doubt;
  readonly end?: End;
}

export interface Progress {
  /** Temporal's number of the last attempt that concluded, whatever it came to. */
  readonly lastAttempt: number;
  /** Attempts told of in the timeline. */
  readonly attempts: number;
  /** What those came to. */
  readonly tried?: Tried;
  /** By delivery key. */
  readonly targets: Readonly<Record<string, TargetProgress>>;
}

export const firstProgress: Progress = { lastAttempt: 0, attempts: 0, targets: {} };
const untouched: TargetProgress = { calls: 0 };

/** Where one address stands. */
export function targetOf(progress: Progress, key: string): TargetProgress {
  return progress.targets[key] ?? untouched;
}

/** The same with one address moved on. */
export function withTarget(progress: Progress, key: string, target: TargetProgress): Progress {
  return { ...progress, targets: { ...progress.targets, [key]: target } };
}

/** Without its doubt: surely not taken, or to be sent again whatever became of it. */
export function withoutDoubt({ doubt: _settled, ...rest }: TargetProgress): TargetProgress {
  return rest;
}

/** Provider calls concluded for the message. */
export function callsOf(progress: Progress): number {
  return Object.values(progress.targets).reduce((sum, { calls }) => sum + calls, 0);
}
