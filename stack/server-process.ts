/** One process of a server: started, waited for until it answers, stopped, killed, and never left behind. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { assertPortIsFree } from './ports.ts';
import {
  endLeftovers,
  identify,
  membersOfGroup,
  signalGroup,
  untilGroupIsGone,
  writeNote,
} from './process-table.ts';

export interface ProcessSpec {
  /** For people: "RocketMQ broker". */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the environment that we run in. */
  readonly variables?: Readonly<Record<string, string>>;
  readonly workDir: string;
  /** User and group to run as; absent: ours. */
  readonly userId?: number;
  /** Loopback ports it will listen on; they must be free. */
  readonly ports: readonly number[];
  readonly logFile: string;
  readonly noteFile: string;
  /** Part of the command line by which its processes are known; unique to this data folder. */
  readonly marker: string;
  /** Whether it answers. May throw, which means no. */
  readonly isReady: () => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly stopTimeoutMs: number;
}

/** A server, or one process of it. All methods are idempotent. */
export interface RunningServer {
  /** The number of the process; undefined while it does not run. */
  readonly pid: number | undefined;
  /** Ends what an earlier run left of it and makes sure that its ports are free; part of every start. */
  readonly prepare: () => Promise<void>;
  /** Starts it on the data it left and waits until it answers. Errors: the last lines of its log and the log's path. */
  readonly start: () => Promise<void>;
  /** Ends it in order: SIGTERM, and SIGKILL after a deadline. */
  readonly stop: () => Promise<void>;
  /** Sends a signal as it is. SIGKILL waits until the process is gone; SIGSTOP freezes it until SIGCONT. */
  readonly kill: (signal: NodeJS.Signals) => Promise<void>;
}

const shownLogLines = 20;
const readyPollMs = 100;

/** Creates the process without starting it; `onProgress` hears when it ends by itself. */
export function createServerProcess(
  spec: ProcessSpec,
  onProgress: (line: string) => void,
): RunningServer {
  let child: ChildProcess | undefined;
  let isEndExpected = false;

  async function prepare(): Promise<void> {
    if (isRunning(child)) return;
    const ended = await endLeftovers(spec.noteFile);
    if (ended > 0) onProgress(`Ended ${spec.title} that an earlier run had left behind.`);
    for (const port of spec.ports) await assertPortIsFree(port, spec.title);
  }

  async function launch(): Promise<ChildProcess> {
    await prepare();
    mkdirSync(dirname(spec.logFile), { recursive: true });
    const log = openSync(spec.logFile, 'a');
    // `env` adds variables to the ones we inherit and then becomes the command, with the same process number.
    const variables = Object.entries(spec.variables ?? {}).map(
      ([name, value]) => `${name}=${value}`,
    );
    // A group of its own: Ctrl-C in the terminal reaches us alone, and one signal reaches the server's children too.
    const started = spawn('env', [...variables, spec.command, ...spec.args], {
      cwd: spec.workDir,
      detached: true,
      stdio: ['ignore', log, log],
      ...(spec.userId === undefined ? {} : { uid: spec.userId, gid: spec.userId }),
    });
    closeSync(log);
    await new Promise<void>((resolve, reject) => {
      started.once('spawn', resolve);
      started.once('error', (error) =>
        reject(new Error(`${spec.title} could not be started: ${error.message}`)),
      );
    });
    return started;
  }

  async function start(): Promise<void> {
    if (isRunning(child)) return;
    isEndExpected = false;
    const logStart = existsSync(spec.logFile) ? statSync(spec.logFile).size : 0;
    const started = await launch();
    child = started;
    const pid = pidOf(started);
    groupsToEnd.set(pid, spec.noteFile);
    started.once('exit', (code, signal) => {
      if (membersOfGroup(pid).length === 0) groupsToEnd.delete(pid);
      if (!isEndExpected)
        onProgress(
          `${spec.title} ended by itself (${signal ?? `code ${code}`}); see ${spec.logFile}`,
        );
    });
    await writeNote(spec.noteFile, {
      leader: identify(pid),
      owner: identify(process.pid),
      marker: spec.marker,
    });
    const fault = await untilReady(started);
    if (fault === undefined) return;
    const isSilent = !isRunning(started);
    isEndExpected = true;
    await kill('SIGKILL');
    throw new Error(
      `${spec.title} ${fault}${isSilent ? '' : ' and was ended'}. ${logTail(spec.logFile, logStart)}`,
    );
  }

  /** Undefined once it answers; else what went wrong. */
  async function untilReady(started: ChildProcess): Promise<string | undefined> {
    const deadline = Date.now() + spec.readyTimeoutMs;
    let lastFault = '';
    while (Date.now() < deadline) {
      if (!isRunning(started))
        return `ended at its start (${started.signalCode ?? `code ${started.exitCode}`})`;
      try {
        if (await spec.isReady()) return undefined;
      } catch (error) {
        lastFault = error instanceof Error ? error.message : String(error);
      }
      await new Promise((resolve) => setTimeout(resolve, readyPollMs));
    }
    return `did not answer within ${spec.readyTimeoutMs / 1000} s (${lastFault || 'not ready'})`;
  }

  async function kill(signal: NodeJS.Signals): Promise<void> {
    if (child === undefined) return;
    const pid = pidOf(child);
    if (signal !== 'SIGKILL') return signalGroup(pid, signal);
    isEndExpected = true;
    const ending = hasExited(child);
    signalGroup(pid, 'SIGKILL');
    await Promise.all([ending, untilGroupIsGone(pid, spec.stopTimeoutMs)]);
    forget(pid);
  }

  async function stop(): Promise<void> {
    if (child === undefined) return;
    const pid = pidOf(child);
    isEndExpected = true;
    signalGroup(pid, 'SIGCONT');
    // Only the leader: it ends its children in its own order.
    child.kill('SIGTERM');
    if (!(await untilGroupIsGone(pid, spec.stopTimeoutMs))) {
      onProgress(`${spec.title} did not stop within ${spec.stopTimeoutMs / 1000} s and is killed.`);
      await kill('SIGKILL');
    }
    forget(pid);
  }

  function forget(pid: number): void {
    child = undefined;
    groupsToEnd.delete(pid);
    rmSync(spec.noteFile, { force: true });
  }

  return {
    get pid() {
      return isRunning(child) ? child?.pid : undefined;
    },
    prepare,
    start,
    stop,
    kill,
  };
}

const isRunning = (child: ChildProcess | undefined): boolean =>
  child !== undefined && child.exitCode === null && child.signalCode === null;

async function hasExited(child: ChildProcess): Promise<void> {
  if (isRunning(child)) await once(child, 'exit');
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('a process that was spawned has a number');
  return child.pid;
}

/** The end of what was written to a log after `startBytes`, as a text for an error. */
export function logTail(logFile: string, startBytes: number): string {
  const text = existsSync(logFile)
    ? readFileSync(logFile).subarray(startBytes).toString('utf8')
    : '';
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const shown = lines.slice(-shownLogLines).map((line) => `  ${line}`);
  return shown.length === 0
    ? `It wrote nothing to ${logFile}`
    : `The end of ${logFile}:\n${shown.join('\n')}`;
}

/** Process groups that must not outlive us, with their notes. */
const groupsToEnd = new Map<number, string>();

// A last resort for an exit without stop(): an uncaught error, process.exit() in a test. The data survives a SIGKILL.
process.on('exit', () => {
  for (const [group, noteFile] of groupsToEnd) {
    signalGroup(group, 'SIGKILL');
    rmSync(noteFile, { force: true });
  }
});
