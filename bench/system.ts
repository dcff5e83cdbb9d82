/** The product as `npm start` has it, compiled, on prefix, database and ports of its own; the sandbox is its provider. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Client as Elasticsearch } from '@elastic/elasticsearch';
import mysql from 'mysql2/promise';
import { demoChannels, type DemoChannel } from '../channels/demo.ts';
import { createNames, type Names } from '../contracts/topics.ts';
import { loadConfig, type Config } from '../platform/config.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createLogger, type Logger } from '../platform/logger.ts';
import { createSealer, type Sealer } from '../platform/seal.ts';
import { connectTemporalClient, type TemporalLink } from '../platform/temporal-client.ts';
import { install } from '../stack/install.ts';
import { membersOfGroup } from '../stack/process-table.ts';
import { demoAccount, demoTemplates, seedTenant } from '../stack/seed.ts';
import type * as Services from '../stack/services.ts';
import { serviceNames, type Service, type ServiceName } from '../stack/services.ts';
import { createStore, type Store } from '../store/index.ts';
import { until } from './measure/until.ts';
import type { Watched } from './measure/watch.ts';
import { openProvider, type Provider } from './provider.ts';
import type { BenchServers } from './servers.ts';

export interface SystemOptions {
  /** Started at once, and waited for; others by `start`. */
  readonly processes: readonly ServiceName[];
  /** Of the SMS account; default 100,000, above what this machine can do. */
  readonly ratePerSecond?: number;
  /** Accounts of every demo channel, as `npm start` has them. */
  readonly hasAllChannels?: boolean;
}

export interface BenchSystem {
  readonly config: Config;
  readonly names: Names;
  readonly sealer: Sealer;
  readonly logger: Logger;
  readonly store: Store;
  readonly temporal: TemporalLink;
  readonly elasticsearch: Elasticsearch;
  readonly provider: Provider;
  readonly api: string;
  readonly tenantId: string;
  readonly key: string;
  /** Each process of ours that has been started, whatever it forks. */
  readonly watched: () => readonly Watched[];
  /** Begins CPU profiles of all of them, or ends and writes them; nothing where none were asked for. */
  toggleProfiles(): void;
  /** Starts processes and waits until they are ready, and until the account's limit is in force where jobs is among them. */
  start(names: readonly ServiceName[]): Promise<void>;
  /** Text of a process's /metrics. */
  metrics(name: ServiceName): Promise<string>;
  /** Messages that a search finds, in one of these statuses if any are given. */
  indexed(statuses?: readonly string[]): Promise<number>;
  close(): Promise<void>;
}

interface Where {
  readonly servers: BenchServers;
  readonly env: Readonly<Record<string, string>>;
  readonly logDir: string;
  /** Folder for CPU profiles of our processes; absent: none are made. */
  readonly profileDir?: string;
}

const portSettings = {
  sandbox: 'MC_SANDBOX_CONTROL_PORT',
  ingest: 'MC_INGEST_PORT',
  bridge: 'MC_BRIDGE_PORT',
  worker: 'MC_WORKER_PORT',
  indexer: 'MC_INDEXER_PORT',
  jobs: 'MC_JOBS_PORT',
  admin: 'MC_ADMIN_PORT',
} as const satisfies Record<ServiceName, string>;
const providerSettings = [
  'MC_SANDBOX_PORT',
  'MC_SANDBOX_APNS_PORT',
  'MC_SANDBOX_SMTP_PORT',
] as const;

/** Installs and starts it. Errors: a server or a process does not answer; the message names the log. */
export async function startSystem(where: Where, options: SystemOptions): Promise<BenchSystem> {
  const { servers, logDir } = where;
  const prefix = `b${randomBytes(4).toString('hex')}`;
  const database = await createDatabase(servers.mysqlUrl, `message_center_${prefix}`);
  const settings = [...Object.values(portSettings), ...providerSettings];
  const ports = await freePorts(settings.length);
  const env: Record<string, string> = {
    ...where.env,
    MC_PREFIX: prefix,
    MC_ROCKETMQ_ENDPOINT: servers.rocketmqEndpoint,
    MC_ROCKETMQ_NAMESERVER: servers.rocketmqNameServer,
    MC_TEMPORAL_ADDRESS: servers.temporalAddress,
    MC_TEMPORAL_UI_URL: servers.temporalUiUrl,
    MC_ELASTICSEARCH_URL: servers.elasticsearchUrl,
    MC_MYSQL_URL: database.url,
    MC_MASTER_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    MC_ADMIN_TOKEN: randomBytes(24).toString('base64url'),
    MC_ALLOW_PRIVATE_PROVIDERS: 'true',
    ...Object.fromEntries(settings.map((setting, place) => [setting, String(ports[place])])),
  };
  const config = loadConfig(env);
  const logger = createLogger('bench', 'error');
  await install(config, logger);
  const sealer = createSealer(config.masterKeys);
  const store = createStore({ mysqlUrl: config.mysqlUrl, sealer, slots: config.slots, logger });
  const { temporalAddress: address, temporalNamespace: namespace } = config;
  const temporal = connectTemporalClient({ address, namespace, sealer });
  const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
  const names = createNames(prefix);
  const tenantId = 'bench';
  await seed(store, tenantId, { config, options });
  const { key } = await store.apiKeys.create(tenantId, { name: 'bench' });
  const services = new Map<ServiceName, Service>();
  const urlOf = (name: ServiceName) => `http://127.0.0.1:${env[portSettings[name]]}`;

  // What `npm run build` made: a process is started as the file is that starts it.
  const built = pathToFileURL(resolve('dist/stack/services.js')).href;
  const { startService } = (await import(built)) as typeof Services;
  const launch = (name: ServiceName): Service => {
    const service = startService({
      name,
      env: { ...env, ...profiling(where.profileDir, name) },
      healthUrl: urlOf(name),
      logDir: join(logDir, prefix),
      // A process that crashes under load is a finding, not a thing to smooth over.
      keepAlive: false,
    });
    services.set(name, service);
    return service;
  };
  const start = async (wanted: readonly ServiceName[]) => {
    await Promise.all(wanted.map((name) => launch(name).ready(120_000)));
    if (!wanted.includes('jobs')) return;
    await until(
      'every limit is in force',
      async () => {
        const accounts = await store.channelAccounts.list(tenantId, { limit: 100 });
        return accounts.every(({ limitInForce }) => limitInForce !== null) || undefined;
      },
      { timeoutMs: 60_000 },
    );
  };
  const close = async () => {
    await Promise.all([...services.values()].map((service) => service.stop()));
    await removeIndices(elasticsearch, names);
    await Promise.all([temporal.close(), store.close(), elasticsearch.close()]);
    await database.drop();
  };
  try {
    await start(options.processes);
  } catch (error) {
    await close();
    throw error;
  }
  const watched = () =>
    [...services].flatMap(([name, { pid }]) =>
      pid === undefined ? [] : [{ name, pids: () => membersOfGroup(pid) }],
    );
  return {
    config,
    names,
    sealer,
    logger,
    store,
    temporal,
    elasticsearch,
    provider: openProvider(`${urlOf('sandbox')}/${measuredChannel().simulator}`),
    api: urlOf('ingest'),
    tenantId,
    key,
    watched,
    toggleProfiles: () => {
      if (where.profileDir === undefined) return;
      for (const pid of watched().flatMap(({ pids }) => pids())) process.kill(pid, 'SIGUSR2');
    },
    start,
    metrics: async (name) => (await fetch(`${urlOf(name)}/metrics`)).text(),
    indexed: async (statuses) => {
      const index = names.messageIndices;
      const query =
        statuses === undefined ? { match_all: {} } : { terms: { status: [...statuses] } };
      return (await elasticsearch.count({ index, query })).count;
    },
    close,
  };
}

/** The processes of the product; the sandbox is none of them. */
export const ourProcesses = serviceNames.filter((name) => name !== 'sandbox');

/** The channel that messages are sent through: the first of the demo, SMS. */
function measuredChannel(): DemoChannel {
  const [first] = demoChannels;
  if (first === undefined) throw new Error('there are no demo channels');
  return first;
}

async function seed(
  store: Store,
  tenantId: string,
  of: { readonly config: Config; readonly options: SystemOptions },
): Promise<void> {
  const { config, options } = of;
  const base = `http://127.0.0.1:${config.sandboxPort}`;
  const at = {
    urlOf: (simulator: string) => `${base}/${simulator}`,
    receiptToken: randomBytes(18).toString('base64url'),
  };
  await store.tenants.ensure(tenantId, 'Bench');
  if (options.hasAllChannels === true) return void (await seedTenant(store, tenantId, at));
  for (const template of demoTemplates) await store.templates.create(tenantId, template);
  const demo = measuredChannel();
  const channel = demo.connector.split('-', 1)[0] ?? demo.connector;
  const edit = { ...demoAccount(demo, at), ratePerSecond: options.ratePerSecond ?? 100_000 };
  await store.channelAccounts.create({ tenantId, channel, edit });
}

/** What is left in Elasticsearch would be merged while the next one is measured. */
async function removeIndices(client: Elasticsearch, names: Names): Promise<void> {
  const found = await client.indices.get({
    index: [names.messageIndices, names.attemptIndices],
    allow_no_indices: true,
  });
  const index = Object.keys(found);
  if (index.length > 0) await client.indices.delete({ index });
}

function profiling(folder: string | undefined, name: string): Record<string, string> {
  if (folder === undefined) return {};
  const own = join(folder, name);
  mkdirSync(own, { recursive: true });
  const script = new URL('measure/profile.mjs', import.meta.url);
  return { NODE_OPTIONS: `--import ${script.href}?${encodeURIComponent(own)}` };
}

async function createDatabase(
  mysqlUrl: string,
  name: string,
): Promise<{ url: string; drop(): Promise<void> }> {
  const run = async (statement: string) => {
    const connection = await mysql.createConnection(mysqlUrl);
    await connection.query(statement);
    await connection.end();
  };
  await run(`create database ${name} character set utf8mb4`);
  const url = new URL(mysqlUrl);
  url.pathname = `/${name}`;
  return { url: url.toString(), drop: () => run(`drop database if exists ${name}`) };
}

/** Loopback ports that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
