/** Runs our processes on this machine: starts them, waits until they are ready, starts a crashed one again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pause } from '../platform/lifecycle.ts';

export const serviceNames = [
  'sandbox',
  'ingest',
  'bridge',
  'worker',
  'indexer',
  'jobs',
  'admin',
] as const;
export type ServiceName = (typeof serviceNames)[number];

/** The sources, or what `npm run build` made of them: a process is started as this file was. */
const code = new URL('..', import.meta.url);
const isCompiled = import.meta.url.endsWith('.js');
const root = fileURLToPath(isCompiled ? new URL('..', code) : code);
const entry: Record<ServiceName, string> = {
  sandbox: 'channels/sandbox/main.ts',
  ingest: 'ingest/main.ts',
  bridge: 'bridge/main.ts',
  worker: 'worker/main.ts',
  indexer: 'indexer/main.ts',
  jobs: 'jobs/main.ts',
  admin: 'admin/main.ts',
};

export interface Service {
  readonly name: string;
  readonly pid: number | undefined;
  /** Ends it at once, as a power cut would; started again unless `stop` is called. */
  kill(): Promise<void>;
  /** SIGTERM, or the signal; then SIGKILL after 30 s; not started again until `start`. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): void;
  /** Resolves when /readyz answers 200. Errors: not within the time, with the log's last lines' place. */
  ready(timeoutMs?: number): Promise<void>;
}

/** What a child needs of the environment besides our own settings. */
export function inheritedEnv(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    ['PATH', 'HOME', 'TMPDIR'].flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

export interface ServiceOptions {
  readonly name: ServiceName;
  /** Distinguishes several processes of one kind, in names and logs. */
  readonly instance?: string;
  /** The whole environment of the process; see `inheritedEnv`. */
  readonly env: Readonly<Record<string, string>>;
  /** Where /readyz is. */
  readonly healthUrl: string;
  readonly logDir: string;
  /** Told when the process ended unasked. */
  readonly onCrash?: (name: string, how: string) => void;
  /** Another entrance than the service's own, as a path in the project. */
  readonly script?: string;
  /** Whether a crashed process is started again; default true. */
  readonly keepAlive?: boolean;
}

/**
 * In MB, far above what our processes need. V8 takes a big machine's memory as a reason to collect late: after a million messages
 * ingest held 563 MB, and 404 with the limit.
 */
const maxHeap = '--max-old-space-size=1024';
const stopDeadlineMs = 30_000;
const restartAfterMs = 1000;

/** Starts a service as a child process; its output goes to `<logDir>/<name>.log`. */
export function startService(options: ServiceOptions): Service {
  const name =
    options.instance === undefined ? options.name : `${options.name}-${options.instance}`;
  mkdirSync(options.logDir, { recursive: true });
  const logFile = join(options.logDir, `${name}.log`);
  let child: ChildProcess | undefined;
  let isWanted = false;

  const start = () => {
    isWanted = true;
    const log = createWriteStream(logFile, { flags: 'a' });
    const source = options.script ?? entry[options.name];
    const script = fileURLToPath(new URL(isCompiled ? source.replace(/ts$/, 'js') : source, code));
    const loader = isCompiled ? [] : ['--import', 'tsx'];
    const started = spawn(process.execPath, [maxHeap, ...loader, script], {
      cwd: root,
      env: options.env,
      // The channel closes when we die, however we die; the process then ends, too.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A group of its own: Ctrl-C reaches us, and we stop it in order.
      detached: true,
    });
    child = started;
    // Either may say something after the other has ended.
    started.stdout?.pipe(log, { end: false });
    started.stderr?.pipe(log, { end: false });
    started.once('close', () => log.end());
    started.once('exit', (code, signal) => {
      if (child !== started || !isWanted) return;
      child = undefined;
      options.onCrash?.(name, signal ?? `code ${code}`);
      if (options.keepAlive !== false)
        setTimeout(() => isWanted && child === undefined && start(), restartAfterMs);
    });
  };
  const end = async (signal: NodeJS.Signals) => {
    const ending = child;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const exited = once(ending, 'exit');
    ending.kill(signal);
    const timer = setTimeout(() => ending.kill('SIGKILL'), stopDeadlineMs);
    await exited;
    clearTimeout(timer);
  };

  start();
  return {
    name,
    get pid() {
      return child?.pid;
    },
    kill: () => end('SIGKILL'),
    stop: async (signal = 'SIGTERM') => {
      isWanted = false;
      await end(signal);
      child = undefined;
    },
    start: () => {
      if (child === undefined) start();
    },
    ready: (timeoutMs = 60_000) =>
      untilServing({ name, healthUrl: options.healthUrl, timeoutMs, logFile }),
  };
}

/** Waits until /readyz answers 200. Errors: not within the time, with the place of the log. */
export async function untilServing(of: {
  readonly name: string;
  readonly healthUrl: string;
  readonly timeoutMs: number;
  readonly logFile: string;
}): Promise<void> {
  const { name, healthUrl, timeoutMs, logFile } = of;
  const deadline = Date.now() + timeoutMs;
  let last = 'it has not answered yet';
  while (Date.now() < deadline) {
    try {
      const answer = await fetch(`${healthUrl}/readyz`, { signal: AbortSignal.timeout(2000) });
      if (answer.status === 200) return;
      last = await answer.text();
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await pause(100);
  }
  throw new Error(
    `${name} is not ready after ${timeoutMs / 1000} s (${last}); its log: ${logFile}`,
  );
}
