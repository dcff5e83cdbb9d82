/** CPU time and memory of processes as Linux tells them. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** CPU of a process and of its ended children in microseconds, from the text of /proc/<pid>/stat; steps of 10 ms. */
export function cpuUsOf(stat: string, ticks = ticksPerSecond): number {
  // The name in parentheses may hold anything, spaces and parentheses too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system, childrenUser, childrenSystem] = fields.slice(11, 15).map(Number);
  const total = (user ?? NaN) + (system ?? NaN) + (childrenUser ?? NaN) + (childrenSystem ?? NaN);
  if (Number.isNaN(total)) throw new Error('this is no text of /proc/<pid>/stat');
  return (total * 1e6) / ticks;
}

/** Resident memory in bytes, from the text of /proc/<pid>/status; 0 for a process that has just ended. */
export function residentBytesOf(status: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** CPU of a running process in microseconds; 0 when it is gone. */
export const cpuUs = (pid: number): number => orZero(() => cpuUsOf(read(pid, 'stat')));

/** Resident memory of a running process in bytes; 0 when it is gone. */
export const residentBytes = (pid: number): number =>
  orZero(() => residentBytesOf(read(pid, 'status')));

const read = (pid: number, file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');

function orZero(look: () => number): number {
  try {
    return look();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return 0;
    throw error;
  }
}
