/** What a load costs: CPU by process between two moments, and the most memory that a process held meanwhile. */
import { cpuUs, residentBytes } from './proc.ts';

/** A process under watch; `pids`: all that belong to it now, the workers of a cluster too. */
export interface Watched {
  readonly name: string;
  readonly pids: () => readonly number[];
}

export interface Usage {
  readonly seconds: number;
  readonly cpuUs: Readonly<Record<string, number>>;
  /** Of the largest single process of each name, sampled. */
  readonly peakBytes: Readonly<Record<string, number>>;
}

const sampleEveryMs = 250;
const samplesPerLook = 40;

/** Begins to look; `stop` gives what was seen, and may be repeated. */
export function watch(watched: readonly Watched[]): { stop(): Usage } {
  const startedAt = performance.now();
  const before = cpuByName(watched);
  const peakBytes: Record<string, number> = {};
  let members: { readonly name: string; readonly pids: readonly number[] }[] = [];
  let samples = 0;
  const sample = () => {
    // Who belongs to a group takes a look at every process there is: not each time.
    if (samples++ % samplesPerLook === 0)
      members = watched.map(({ name, pids }) => ({ name, pids: pids() }));
    for (const { name, pids } of members)
      peakBytes[name] = Math.max(peakBytes[name] ?? 0, ...pids.map(residentBytes));
  };
  sample();
  const timer = setInterval(sample, sampleEveryMs);
  return {
    stop: () => {
      clearInterval(timer);
      sample();
      const after = cpuByName(watched);
      return {
        seconds: (performance.now() - startedAt) / 1000,
        // One that ended meanwhile took its count along: nothing is known of it.
        cpuUs: Object.fromEntries(
          watched.map(({ name }) => [name, Math.max(0, (after[name] ?? 0) - (before[name] ?? 0))]),
        ),
        peakBytes,
      };
    },
  };
}

const cpuByName = (watched: readonly Watched[]): Record<string, number> =>
  Object.fromEntries(
    watched.map(({ name, pids }) => [name, pids().reduce((sum, pid) => sum + cpuUs(pid), 0)]),
  );

/** CPU per message in microseconds; names that took none are left out. */
export function perMessage(usage: Usage, messages: number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(usage.cpuUs).flatMap(([name, us]) => (us > 0 ? [[name, us / messages]] : [])),
  );
}
