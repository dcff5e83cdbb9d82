/** What a benchmark works with. */
import { startLoad, type Loads, type LoadScript, type RunningLoad } from './load/start.ts';
import { watch, type Usage, type Watched } from './measure/watch.ts';
import type { BenchServers } from './servers.ts';
import type { BenchSystem, SystemOptions } from './system.ts';

export interface Place {
  readonly servers: BenchServers;
  /** How often a figure and its limit are taken in turn. */
  readonly rounds: number;
  /** Messages to use: what was asked for, or the benchmark's own number. */
  count(usual: number): number;
  /** Starts the product; closed when the benchmark is over, whatever becomes of it. */
  startSystem(options: SystemOptions): Promise<BenchSystem>;
  /** Runs a load to its end after its warm-up; gives its result and what it cost every process meanwhile. */
  measure<S extends LoadScript>(
    script: S,
    options: Loads[S]['options'],
    system?: BenchSystem,
  ): Promise<{ readonly result: Loads[S]['result']; readonly usage: Usage }>;
  /** Looks at all processes until `stop`. */
  watch(system: BenchSystem | undefined, others?: readonly Watched[]): { stop(): Usage };
  /** Starts a load that ends with the benchmark at the latest. */
  startLoad<S extends LoadScript>(
    script: S,
    options: Loads[S]['options'],
  ): RunningLoad<Loads[S]['result']>;
  say(line: string): void;
}

export interface PlaceOptions {
  readonly servers: BenchServers;
  readonly rounds: number;
  readonly messages: number | undefined;
  readonly start: (options: SystemOptions) => Promise<BenchSystem>;
  readonly say: (line: string) => void;
}

/** Makes a place for one benchmark; `close` ends all that was started in it, and gives the most memory by process. */
export function openPlace(options: PlaceOptions): Place & {
  readonly peakBytes: ReadonlyMap<string, number>;
  close(): Promise<void>;
} {
  const { servers, rounds, messages, say } = options;
  const ends: (() => Promise<void>)[] = [];
  const peakBytes = new Map<string, number>();
  const watchAll: Place['watch'] = (system, others = []) => {
    const watching = watch([
      ...(system?.watched() ?? []),
      ...servers.watched,
      { name: 'harness', pids: () => [process.pid] },
      ...others,
    ]);
    system?.toggleProfiles();
    let isStopped = false;
    return {
      stop: () => {
        if (!isStopped) system?.toggleProfiles();
        isStopped = true;
        const usage = watching.stop();
        for (const [name, bytes] of Object.entries(usage.peakBytes))
          peakBytes.set(name, Math.max(bytes, peakBytes.get(name) ?? 0));
        return usage;
      },
    };
  };
  function begin<S extends LoadScript>(
    script: S,
    loadOptions: Loads[S]['options'],
  ): RunningLoad<Loads[S]['result']> {
    const load = startLoad(script, loadOptions);
    ends.push(load.kill);
    return load;
  }
  async function measure<S extends LoadScript>(
    script: S,
    loadOptions: Loads[S]['options'],
    system?: BenchSystem,
  ): Promise<{ readonly result: Loads[S]['result']; readonly usage: Usage }> {
    const load = begin(script, loadOptions);
    await load.warm;
    const watching = watchAll(system, [{ name: 'load', pids: () => [load.pid] }]);
    try {
      const result = await load.begin();
      return { result, usage: watching.stop() };
    } finally {
      watching.stop();
      await load.kill();
    }
  }
  return {
    servers,
    rounds,
    say,
    peakBytes,
    count: (usual) => messages ?? usual,
    startSystem: async (systemOptions) => {
      const system = await options.start(systemOptions);
      ends.push(() => system.close());
      return system;
    },
    watch: watchAll,
    startLoad: begin,
    measure,
    close: async () => {
      for (const end of ends.toReversed()) await end();
    },
  };
}
