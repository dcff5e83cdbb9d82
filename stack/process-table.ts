/** What Linux knows about running processes, and the notes we keep about those that we started. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A process that is told apart from a later one with the same number by its start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, as text. */
  readonly startedAt: string;
}

/** The note about a server: the server's first process, which leads a process group, and who started it. */
export interface ProcessNote {
  readonly leader: ProcessIdentity;
  readonly owner: ProcessIdentity;
  /** Appears in the command line of every process of the server and of nothing else. */
  readonly marker: string;
}

interface ProcessStatus {
  readonly group: number;
  readonly state: string;
  readonly startedAt: string;
}

function statusOf(pid: number): ProcessStatus | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; the fields after it are numbers and one letter.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', group: Number(fields[2]), startedAt: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** The identity of a running process. Errors: none; a process that is gone has no start time. */
export const identify = (pid: number): ProcessIdentity => ({
  pid,
  startedAt: statusOf(pid)?.startedAt ?? '',
});

/** Whether exactly this process still runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  const status = statusOf(identity.pid);
  return (
    status !== undefined &&
    status.startedAt === identity.startedAt &&
    !hasEnded(identity.pid, status)
  );
}

/** Whether all threads have ended: a process whose first thread has ended may still hold its ports. */
function hasEnded(pid: number, status: ProcessStatus): boolean {
  if (status.state !== 'Z') return false;
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return true;
  }
}

/** The running processes of a group, those that only wait to be collected left out. */
export function membersOfGroup(group: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      const status = Number.isInteger(pid) ? statusOf(pid) : undefined;
      return status !== undefined && status.group === group && !hasEnded(pid, status);
    });
}

/** Sends a signal to a whole group; a group that has ended is no error. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export async function writeNote(file: string, note: ProcessNote): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.new`, JSON.stringify(note));
  await rename(`${file}.new`, file);
}

export function readNote(file: string): ProcessNote | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessNote;
  } catch {
    return undefined;
  }
}

/**
 * Ends what an earlier run left behind, by the note it wrote; nothing is touched whose command line lacks the marker.
 * Returns how many processes were ended.
 * Errors: the one who started them still runs, which means that the data folder is in use.
 */
export async function endLeftovers(file: string): Promise<number> {
  const note = readNote(file);
  if (note === undefined) {
    await rm(file, { force: true });
    return 0;
  }
  const members = membersOfGroup(note.leader.pid);
  const areOurs = members.some((pid) => commandLineOf(pid).includes(note.marker));
  if (areOurs && isAlive(note.owner) && note.owner.pid !== process.pid)
    throw new Error(
      `The servers of this data folder are already run by process ${note.owner.pid}; stop that one, or set MC_DATA_DIR and MC_PORT_OFFSET for a second stack.`,
    );
  if (areOurs) {
    signalGroup(note.leader.pid, 'SIGKILL');
    await untilGroupIsGone(note.leader.pid, 10_000);
  }
  await rm(file, { force: true });
  return areOurs ? members.length : 0;
}

/** Waits for a group to end; false when it has not within `timeoutMs`. */
export async function untilGroupIsGone(group: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (membersOfGroup(group).length > 0) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}
