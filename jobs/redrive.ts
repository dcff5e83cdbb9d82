/**
 * Sends failed messages again, as operators asked: page by page through the index, or by id, at the rate they chose. What
 * it has in hand is written down, so that after a kill nothing is left out; Temporal sees that nothing goes twice. One jobs
 * process at a time does it.
 */
import {
  defaultRedrivenStatuses,
  type Redrive,
  type RedriveProgress,
} from '../contracts/redrive.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Redriven, RedriveOf } from '../platform/redrive-message.ts';
import type { Redrives, RunningRedrive } from '../store/index.ts';
import { redriveScan, type MessageIndex } from '../store/message-index.ts';

export interface RunRedrivesDeps {
  readonly redrives: Pick<Redrives, 'listRunning' | 'save'>;
  readonly scan: MessageIndex['scan'];
  /** Errors: a server does not answer. */
  readonly redriveMessage: (of: RedriveOf) => Promise<Redriven>;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
}

/** A cancel, and a lease that was lost, end what runs within this time. */
const lookEveryMs = 500;
/** Messages in hand: two seconds of work, so that counts are written that often. */
const inHand = (ratePerSecond: number) => Math.min(500, Math.ceil(ratePerSecond * 2));
/** Few at a time where the rate is low: what is looked at long before its turn has changed by then. */
const atOnce = (ratePerSecond: number) => Math.min(64, Math.ceil(ratePerSecond / 5));
/** Lateness up to this is made up for, more is not: an even pace, never a burst. */
const slackMs = 50;

interface Task {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** Runs until stopped. */
export function runRedrives(deps: RunRedrivesDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const tasks = new Map<string, Task>();

  const begin = (entry: RunningRedrive) => {
    const { id } = entry.redrive;
    const stop = new AbortController();
    const ended = runRedrive(deps, entry, stop.signal)
      .catch((error: unknown) => {
        if (!stop.signal.aborted) logger.warn({ redriveId: id, error }, 'redrive.postponed');
      })
      .finally(() => tasks.delete(id));
    tasks.set(id, { stop, ended });
  };
  const endAllBut = async (running: ReadonlySet<string>) => {
    const others = [...tasks].filter(([id]) => !running.has(id)).map(([, task]) => task);
    for (const { stop } of others) stop.abort();
    await Promise.all(others.map(({ ended }) => ended));
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        const running = (await deps.holdsLease()) ? await deps.redrives.listRunning() : [];
        await endAllBut(new Set(running.map(({ redrive }) => redrive.id)));
        for (const entry of running) if (!tasks.has(entry.redrive.id)) begin(entry);
      } catch (error) {
        // Without the store nobody knows whose the lease is.
        logger.warn({ error }, 'redrives.postponed');
        await endAllBut(new Set());
      }
      await pause(lookEveryMs, stopped.signal);
    }
    await endAllBut(new Set());
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

/** Runs one until it is done, stopped or no longer ours. Errors: a server does not answer; it goes on from what is written. */
async function runRedrive(
  deps: RunRedrivesDeps,
  entry: RunningRedrive,
  signal: AbortSignal,
): Promise<void> {
  const { ratePerSecond } = entry.redrive;
  const turn = createPace(ratePerSecond, signal);
  let current: RunningRedrive | undefined = entry;
  while (current?.redrive.state === 'running' && !signal.aborted)
    current =
      current.place.page.length > 0
        ? await redriveInHand(deps, current, { turn, signal })
        : await takeInHand(deps, current);
  if (current?.redrive.state !== 'done') return;
  const { id: redriveId, found, started, alreadyOpen, skipped } = current.redrive;
  deps.logger.info({ redriveId, found, started, alreadyOpen, skipped }, 'redrive.done');
}

/** Writes down the next messages before anything is done with them: once started they would not be found again. */
async function takeInHand(
  { scan, redrives }: RunRedrivesDeps,
  running: RunningRedrive,
): Promise<RunningRedrive | undefined> {
  const { redrive, place } = running;
  const limit = inHand(redrive.ratePerSecond);
  const { ids, next } = await scan(redriveScan(redrive), { after: place.after, limit });
  const { found, ...counts } = progressOf(redrive);
  return redrives.save(running, {
    progress: { ...counts, found: found + ids.length },
    place: {
      page: [...ids],
      ...(next !== undefined && { after: [...next] }),
      isLastPage: next === undefined,
    },
    isDone: ids.length === 0,
  });
}

/** Redrives what is in hand, and writes down what came of it. After an error it is all done again, which changes nothing. */
async function redriveInHand(
  deps: RunRedrivesDeps,
  running: RunningRedrive,
  { turn, signal }: { readonly turn: () => Promise<void>; readonly signal: AbortSignal },
): Promise<RunningRedrive | undefined> {
  const { redrive, place } = running;
  const { id: redriveId, tenantId, filter, expiresIn, ratePerSecond } = redrive;
  const ids = place.page.slice(0, inHand(ratePerSecond));
  const results: Redriven[] = [];
  let isFailing = false;
  const queue = ids.values();
  const work = async () => {
    for (const messageId of queue) {
      if (isFailing) return;
      results.push(
        await deps.redriveMessage({
          messageId,
          redriveId,
          tenantId,
          statuses: filter?.status ?? defaultRedrivenStatuses,
          lifeMs: expiresIn === undefined ? undefined : expiresIn * 1000,
          turn,
        }),
      );
      signal.throwIfAborted();
    }
  };
  const workers = Array.from({ length: atOnce(ratePerSecond) }, () =>
    work().catch((error: unknown) => {
      isFailing = true;
      throw error;
    }),
  );
  await Promise.allSettled(workers);
  await Promise.all(workers);
  const page = place.page.slice(ids.length);
  return deps.redrives.save(running, {
    progress: counted(progressOf(redrive), results),
    place: { ...place, page },
    isDone: page.length === 0 && place.isLastPage,
  });
}

function progressOf({ found, started, alreadyOpen, skipped }: Redrive): RedriveProgress {
  return { found, started, alreadyOpen, skipped };
}

function counted(before: RedriveProgress, results: readonly Redriven[]): RedriveProgress {
  const skipped = { ...before.skipped };
  for (const redriven of results)
    if (redriven.result === 'skipped') skipped[redriven.why] = (skipped[redriven.why] ?? 0) + 1;
  const count = (wanted: Redriven['result']) =>
    results.filter(({ result }) => result === wanted).length;
  return {
    found: before.found,
    started: before.started + count('started'),
    alreadyOpen: before.alreadyOpen + count('already-open'),
    skipped,
  };
}

/** Turns at a rate, evenly, in the order they are asked for. Errors: the signal's reason, once it is aborted. */
export function createPace(ratePerSecond: number, signal: AbortSignal): () => Promise<void> {
  let nextAtMs = performance.now();
  const wait = async () => {
    const waitMs = nextAtMs - performance.now();
    if (waitMs > 0) await pause(waitMs, signal);
    signal.throwIfAborted();
    nextAtMs = Math.max(nextAtMs, performance.now() - slackMs) + 1000 / ratePerSecond;
  };
  // One after the other, so that turns which a busy process handed out late do not come all at once.
  let last = Promise.resolve();
  return () => {
    const turn = last.then(wait);
    last = turn.catch(() => undefined);
    return turn;
  };
}
