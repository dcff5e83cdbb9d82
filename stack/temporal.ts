/** Temporal and its Web UI: the development server on SQLite with a write-ahead log. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { answersHttp, answersTcp } from './probes.ts';
import { createServerProcess, type RunningServer } from './server-process.ts';
import type { ServerSite } from './server-site.ts';
import { runProgram } from './tools.ts';

export interface TemporalNamespace {
  readonly name: string;
  readonly retentionDays: number;
}

interface TemporalOptions {
  readonly namespace: TemporalNamespace;
  readonly codecEndpoint: string | undefined;
}

const searchAttributes = [
  'McTenant',
  'McChannel',
  'McAccount',
  'McTemplate',
  'McBatch',
  'McPriority',
  'McState',
];

const pragmas = ['journal_mode=WAL', 'synchronous=NORMAL'];

const dynamicSettings = [
  'matching.enableFairness=true',
  // One partition, so that a rate limit and the fairness of a task queue hold for the whole of it.
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
  // What waits in a queue is counted this often, instead of every 5 s: shares, pace and the console follow it.
  'matching.TaskQueueInfoByBuildIdTTL="250ms"',
  // The defaults allow ten list calls a second, less than the test suite and the console make together.
  'frontend.namespaceRPS.visibility=200',
];

/** Creates the server on `programPath`, the Temporal CLI. */
export function createTemporal(
  site: ServerSite,
  programPath: string,
  { namespace, codecEndpoint }: TemporalOptions,
): RunningServer {
  const { ports } = site;
  const home = join(site.dataDir, 'temporal');
  const database = join(home, 'temporal.db');
  const address = `127.0.0.1:${ports.temporalGrpc}`;

  const server = createServerProcess(
    {
      title: 'Temporal',
      command: programPath,
      args: [
        'server',
        'start-dev',
        '--ip',
        '127.0.0.1',
        '--port',
        String(ports.temporalGrpc),
        '--ui-port',
        String(ports.temporalUi),
        '--metrics-port',
        String(ports.temporalMetrics),
        '--ui-disable-news-fetch',
        ...(codecEndpoint === undefined ? [] : ['--ui-codec-endpoint', codecEndpoint]),
        '--log-level',
        'warn',
        '--db-filename',
        database,
        '--namespace',
        namespace.name,
        ...pragmas.flatMap((pragma) => ['--sqlite-pragma', pragma]),
        ...searchAttributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
        ...dynamicSettings.flatMap((setting) => ['--dynamic-config-value', setting]),
      ],
      workDir: site.dataDir,
      ports: [ports.temporalGrpc, ports.temporalUi, ports.temporalMetrics],
      logFile: join(site.dataDir, 'logs', 'temporal.log'),
      noteFile: join(site.dataDir, 'run', 'temporal.json'),
      marker: database,
      isReady: async () =>
        (await answersTcp(ports.temporalGrpc)) &&
        (await answersHttp(`http://127.0.0.1:${ports.temporalUi}/healthz`)) &&
        (await setRetention()),
      readyTimeoutMs: 60_000,
      stopTimeoutMs: 15_000,
    },
    site.onProgress,
  );

  /** The development server makes namespaces with a retention of one day. */
  async function setRetention(): Promise<boolean> {
    const retention = [
      '--namespace',
      namespace.name,
      '--retention',
      `${namespace.retentionDays * 24}h`,
    ];
    const args = ['operator', 'namespace', 'update', '--address', address, ...retention];
    const result = await runProgram(programPath, args);
    if (result.code !== 0) throw new Error(result.stderr.trim());
    return true;
  }

  return {
    get pid() {
      return server.pid;
    },
    prepare: server.prepare,
    start: async () => {
      mkdirSync(home, { recursive: true });
      await server.start();
    },
    stop: server.stop,
    kill: server.kill,
  };
}
