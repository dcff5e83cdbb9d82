/** Starts the parts of a process in order, stops them in reverse, rolls back a failed start. The only signal handler. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from './logger.ts';

export interface Part {
  readonly name: string;
  /** Ends the part: takes nothing new, finishes what is in hand. */
  readonly stop: () => Promise<void>;
}

export interface Lifecycle {
  /** Adds a started part; it is stopped before all that were added earlier. */
  add(name: string, stop: () => unknown): void;
  /** Stops everything now, as SIGTERM would. */
  stop(): Promise<void>;
}

/** Names this start of a process, for those who wait for it: machine, process id, and a part that never repeats. */
export function createInstanceId(): string {
  return `${hostname().slice(0, 64)}-${process.pid}-${randomUUID().slice(0, 8)}`;
}

const partStopMs = 10_000;
/** After this the process ends whatever still hangs; those who stop it wait 30 s before they kill it. */
const stopMs = 28_000;

/**
 * Runs a process: `start` adds parts; SIGTERM or SIGINT stops them in reverse, each within 10 seconds, all within 28.
 * A start that throws stops what had started and ends the process with code 1.
 */
export async function runProcess(
  logger: Logger,
  start: (life: Lifecycle) => Promise<void>,
): Promise<void> {
  const parts: Part[] = [];
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= stopParts(parts, logger);
    setTimeout(() => {
      logger.error('process.stop-overdue');
      process.exit(1);
    }, stopMs).unref();
    return stopping;
  };
  const life: Lifecycle = {
    add: (name, stopPart) => parts.push({ name, stop: async () => void (await stopPart()) }),
    stop,
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      logger.info({ signal }, 'process.stopping');
      void stop().then(() => process.exit(0));
    });
  // Started by somebody who holds a channel to us: when that one dies we are nobody's.
  process.once('disconnect', () => {
    logger.info('process.orphaned');
    void stop().then(() => process.exit(0));
  });
  process.on('unhandledRejection', (error) => {
    logger.fatal({ error }, 'process.defect');
    void stop().then(() => process.exit(1));
  });
  try {
    await start(life);
    logger.info('process.started');
  } catch (error) {
    logger.fatal({ error }, 'process.start-failed');
    await stop();
    process.exit(1);
  }
}

async function stopParts(parts: Part[], logger: Logger): Promise<void> {
  for (const part of parts.toReversed()) {
    const startedAt = Date.now();
    try {
      await withDeadline(part.stop(), partStopMs, `stopping ${part.name}`);
      logger.debug({ part: part.name, durationMs: Date.now() - startedAt }, 'part.stopped');
    } catch (error) {
      logger.warn({ part: part.name, error }, 'part.stop-failed');
    }
  }
}

/** Waits for a promise at most `ms`; the error names `what`. The promise itself is not ended. */
export async function withDeadline<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Repeats `attempt` until it succeeds, saying which server it waits for; waits 0.2 s, doubling up to 5 s, between tries. */
export async function untilReady<T>(
  server: string,
  logger: Logger,
  attempt: () => Promise<T>,
): Promise<T> {
  let waitMs = 200;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      logger.warn({ server, error, nextTryInMs: waitMs }, `waiting for ${server}`);
      await pause(waitMs);
      waitMs = Math.min(waitMs * 2, 5000);
    }
  }
}

/** Waits; ends early without an error when the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
