/** The real servers under a benchmark: its own, or those that somebody has running already. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { portsAt } from '../stack/ports.ts';
import { membersOfGroup, readNote } from '../stack/process-table.ts';
import { resetServers, startServers, type ServerAddresses } from '../stack/servers.ts';
import type { Watched } from './measure/watch.ts';

type Addresses = Omit<ServerAddresses, 'rocketmqBroker'>;

export interface BenchServers extends Addresses {
  /** Others use them too: their CPU and transitions are not ours alone. */
  readonly areShared: boolean;
  readonly watched: readonly Watched[];
  stop(): Promise<void>;
}

export interface ServersOptions {
  readonly dataDir: string;
  readonly cacheDir: string;
  readonly portOffset: number;
  /** As `npm test` hands it to its files: addresses with dataDir and portOffset; absent: servers of our own, on fresh data. */
  readonly running?: string;
  readonly onProgress: (line: string) => void;
}

/** Starts them, or takes those that run. Errors: as `startServers`. */
export async function benchServers(options: ServersOptions): Promise<BenchServers> {
  if (options.running !== undefined) {
    const running = JSON.parse(options.running) as Addresses & {
      dataDir: string;
      portOffset: number;
    };
    const { temporalMetrics } = portsAt(running.portOffset);
    return {
      ...running,
      temporalMetricsUrl: `http://127.0.0.1:${temporalMetrics}/metrics`,
      areShared: true,
      watched: watchedOf(running.dataDir),
      stop: async () => {},
    };
  }
  await resetServers(options);
  const servers = await startServers(options);
  return {
    ...servers,
    areShared: false,
    watched: watchedOf(options.dataDir),
    // Nobody needs their data any more.
    stop: () => servers.kill(),
  };
}

/** Each server's process group, by the notes that it was started with. */
function watchedOf(dataDir: string): readonly Watched[] {
  const notes = join(dataDir, 'run');
  return (existsSync(notes) ? readdirSync(notes) : []).flatMap((file) => {
    const pid = readNote(join(notes, file))?.leader.pid;
    return pid === undefined
      ? []
      : [{ name: file.replace(/\.json$/, ''), pids: () => membersOfGroup(pid) }];
  });
}
