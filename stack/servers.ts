/**
 * The four servers that Message Center runs on, for development and tests without containers.
 * `npm run stack` runs them until Ctrl-C; `--fetch-only` only brings their programs; `--reset` removes their data.
 */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadConfig } from '../platform/config.ts';
import { createElasticsearch, elasticsearchHome } from './elasticsearch.ts';
import { defaultCacheDir, fetchPrograms } from './fetch-servers.ts';
import { createMariadb, mariadbLogin } from './mariadb.ts';
import { portsAt, type Ports } from './ports.ts';
import { endLeftovers } from './process-table.ts';
import { createRocketmq } from './rocketmq.ts';
import type { RunningServer } from './server-process.ts';
import { createTemporal, type TemporalNamespace } from './temporal.ts';
import { requireJava, requireLinuxOnX64 } from './tools.ts';

export { defaultCacheDir, fetchTemporalTestServer } from './fetch-servers.ts';
export type { RunningServer } from './server-process.ts';

export const serverNames = ['rocketmq', 'temporal', 'elasticsearch', 'mariadb'] as const;
export type ServerName = (typeof serverNames)[number];

export interface ServersOptions {
  /** Folder of data and logs; one stack per folder. */
  readonly dataDir: string;
  /** Folder of the servers' programs, shared by all stacks; see `defaultCacheDir`. */
  readonly cacheDir: string;
  /** Added to every port. */
  readonly portOffset: number;
  /** The servers to start; absent: all. */
  readonly only?: readonly ServerName[];
  /** Where the Temporal UI has payloads decoded; absent: they are shown as stored. */
  readonly codecEndpoint?: string;
  /** Absent: message-center, 7 days. */
  readonly temporalNamespace?: TemporalNamespace;
  readonly onProgress: (line: string) => void;
}

/** Where the servers of a stack are, whether started or not. */
export interface ServerAddresses {
  readonly rocketmqEndpoint: string;
  readonly rocketmqNameServer: string;
  readonly rocketmqBroker: string;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly temporalMetricsUrl: string;
  readonly elasticsearchUrl: string;
  readonly mysqlUrl: string;
}

export interface Servers extends ServerAddresses, Readonly<Record<ServerName, RunningServer>> {
  /** Ends the servers, each in its own order. They do not need one another, so all at once. */
  readonly stop: () => Promise<void>;
  /** Ends all of them at once, as a power cut would: for data that nobody needs, since RocketMQ stops slowly. */
  readonly kill: () => Promise<void>;
}

const defaultNamespace: TemporalNamespace = { name: 'message-center', retentionDays: 7 };

/**
 * Fetches what is missing, starts the servers in parallel and waits until each answers.
 * Errors: a missing tool, a busy port, a failed start, each as one sentence for people; then nothing is left running.
 *
 *     const servers = await startServers({ dataDir: '.data', cacheDir, portOffset: 0, onProgress: console.log });
 */
export async function startServers(options: ServersOptions): Promise<Servers> {
  requireLinuxOnX64();
  const names = serverNames.filter((name) => options.only?.includes(name) ?? true);
  const dataDir = resolve(options.dataDir);
  const ports = portsAt(options.portOffset);
  const javaUsers = names.filter((name) => name === 'rocketmq' || name === 'elasticsearch');
  const javaHome = javaUsers.length > 0 ? await requireJava(javaUsers.join(' and ')) : '';
  const programs = await fetchPrograms(names, {
    cacheDir: resolve(options.cacheDir),
    onProgress: options.onProgress,
  });
  const site = { dataDir, ports, onProgress: options.onProgress };
  const create: Readonly<Record<ServerName, () => RunningServer>> = {
    rocketmq: () => createRocketmq(site, programs.rocketmq),
    temporal: () =>
      createTemporal(site, programs.temporal, {
        namespace: options.temporalNamespace ?? defaultNamespace,
        codecEndpoint: options.codecEndpoint,
      }),
    elasticsearch: () => createElasticsearch(site, programs.elasticsearch, javaHome),
    mariadb: () => createMariadb(site, programs.mariadb),
  };
  const servers = Object.fromEntries(
    serverNames.map((name) => [name, names.includes(name) ? create[name]() : absentServer(name)]),
  ) as Record<ServerName, RunningServer>;
  await startAll(names, servers, options.onProgress);
  const addresses = addressesOf(ports);
  return {
    ...addresses,
    ...servers,
    stop: () => stopAll(names, servers),
    kill: async () => {
      await Promise.all(names.map((name) => servers[name].kill('SIGKILL')));
    },
  };
}

async function startAll(
  names: readonly ServerName[],
  servers: Readonly<Record<ServerName, RunningServer>>,
  onProgress: (line: string) => void,
): Promise<void> {
  const startedAt = Date.now();
  // First for all of them: a busy port is told at once, not when the slowest server is up.
  await allOrFaults(names.map((name) => servers[name].prepare()));
  try {
    await allOrFaults(
      names.map(async (name) => {
        await servers[name].start();
        onProgress(`${name} answers after ${((Date.now() - startedAt) / 1000).toFixed(1)} s.`);
      }),
    );
  } catch (error) {
    await stopAll(names, servers);
    throw error;
  }
}

/** Waits for all to end. Errors: one with the text of each that failed. */
async function allOrFaults(works: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(works);
  const faults = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as Error] : [],
  );
  if (faults.length === 0) return;
  const texts = new Set(faults.map((fault) => fault.message));
  throw new Error([...texts].join('\n'), { cause: faults[0] });
}

async function stopAll(
  names: readonly ServerName[],
  servers: Readonly<Record<ServerName, RunningServer>>,
): Promise<void> {
  await Promise.all(names.map((name) => servers[name].stop()));
}

function absentServer(name: ServerName): RunningServer {
  const refuse = () =>
    Promise.reject(new Error(`${name} is not part of this stack; add it to "only".`));
  return { pid: undefined, prepare: refuse, start: refuse, stop: refuse, kill: refuse };
}

function addressesOf(ports: Ports): ServerAddresses {
  const { user, password, database } = mariadbLogin;
  const at = (port: number) => `127.0.0.1:${port}`;
  return {
    rocketmqEndpoint: at(ports.rocketmqProxyGrpc),
    rocketmqNameServer: at(ports.rocketmqNameServer),
    rocketmqBroker: at(ports.rocketmqBroker),
    temporalAddress: at(ports.temporalGrpc),
    temporalUiUrl: `http://${at(ports.temporalUi)}`,
    temporalMetricsUrl: `http://${at(ports.temporalMetrics)}/metrics`,
    elasticsearchUrl: `http://${at(ports.elasticsearchHttp)}`,
    mysqlUrl: `mysql://${user}:${password}@${at(ports.mysql)}/${database}`,
  };
}

/** The addresses as settings of platform/config.ts. */
const settingsOf = (addresses: ServerAddresses) => ({
  MC_ROCKETMQ_ENDPOINT: addresses.rocketmqEndpoint,
  MC_ROCKETMQ_NAMESERVER: addresses.rocketmqNameServer,
  MC_TEMPORAL_ADDRESS: addresses.temporalAddress,
  MC_TEMPORAL_UI_URL: addresses.temporalUiUrl,
  MC_ELASTICSEARCH_URL: addresses.elasticsearchUrl,
  MC_MYSQL_URL: addresses.mysqlUrl,
});

/**
 * Deletes the servers' data and logs, after ending what a killed run left behind.
 * Errors: a server of this folder is in use.
 */
export async function resetServers(options: { readonly dataDir: string }): Promise<void> {
  const dataDir = resolve(options.dataDir);
  const notesDir = join(dataDir, 'run');
  for (const note of existsSync(notesDir) ? readdirSync(notesDir) : [])
    await endLeftovers(join(notesDir, note));
  const folders = [...serverNames, 'logs', 'run'].map((name) => join(dataDir, name));
  for (const folder of [...folders, elasticsearchHome(dataDir)])
    await rm(folder, { recursive: true, force: true });
}

async function main(args: readonly string[]): Promise<void> {
  const config = loadConfig(process.env);
  const cacheDir = config.cacheDir === '' ? defaultCacheDir(process.env) : resolve(config.cacheDir);
  const onProgress = (line: string) => console.log(line);
  const [option] = args;
  switch (option) {
    case '--reset':
      await resetServers(config);
      return onProgress(`Removed the servers' data in ${resolve(config.dataDir)}.`);
    case '--fetch-only':
      requireLinuxOnX64();
      await fetchPrograms(serverNames, { cacheDir, onProgress });
      return onProgress(`The servers' programs are in ${cacheDir}.`);
    case undefined:
      return await runUntilSignal({
        ...config,
        cacheDir,
        temporalNamespace: {
          name: config.temporalNamespace,
          retentionDays: config.temporalRetentionDays,
        },
        onProgress,
      });
    default:
      throw new Error(`${option} is not known; use --fetch-only, --reset or nothing.`);
  }
}

async function runUntilSignal(options: ServersOptions): Promise<void> {
  let servers: Servers | undefined;
  let isStopping = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // Before all are up there is nothing to end in order; the exit takes the started ones along.
      if (servers === undefined) process.exit(130);
      if (isStopping) return;
      isStopping = true;
      options.onProgress(`${signal}: stopping the servers.`);
      void servers.stop().then(() => process.exit(0));
    });
  servers = await startServers(options);
  for (const [name, value] of Object.entries(settingsOf(servers)))
    options.onProgress(`${name}=${value}`);
  options.onProgress('Ctrl-C stops them; their data stays.');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  });
