/** Where and when figures were taken: without it they say nothing. */
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly node: string;
  /** Over one, five and fifteen minutes, before the first benchmark. */
  readonly loadAverage: readonly number[];
  /** Others use the servers too. */
  readonly hasSharedServers: boolean;
  readonly at: string;
}

/** The machine as it is now. */
export function machineNow(hasSharedServers: boolean): Machine {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1e9),
    kernel: release(),
    node: process.versions.node,
    loadAverage: loadavg().map((value) => Math.round(value * 100) / 100),
    hasSharedServers,
    at: new Date().toISOString(),
  };
}

/** One sentence of it. */
export function inWords(machine: Machine): string {
  const { cores, cpu, memoryGb, node, loadAverage, at, hasSharedServers } = machine;
  return [
    `${cores} cores (${cpu}), ${memoryGb} GB, Node ${node}; servers, services and load all on it`,
    `load average before: ${loadAverage.join(', ')}`,
    ...(hasSharedServers ? ['servers shared with others, whose work is in these figures'] : []),
    at.slice(0, 16).replace('T', ' ') + ' UTC',
  ].join('; ');
}
