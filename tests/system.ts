/** The whole product for a test file: our processes against the real servers, a sandbox in the test's own process. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import {
  startSandbox,
  type Sandbox,
  type SandboxOptions,
} from '../channels/sandbox/start-sandbox.ts';
import { createNames, type Names } from '../contracts/topics.ts';
import { loadConfig, type Config } from '../platform/config.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer, type Sealer } from '../platform/seal.ts';
import { connectTemporalClient, type TemporalLink } from '../platform/temporal-client.ts';
import { install } from '../stack/install.ts';
import { demoChannels } from '../channels/demo.ts';
import { demoAccount, demoTemplates, receiptUrls } from '../stack/seed.ts';
import {
  inheritedEnv,
  startService,
  untilServing,
  type Service,
  type ServiceOptions,
} from '../stack/services.ts';
import { createStore, type Store } from '../store/index.ts';
import { createDatabase, freshPrefix, testServers, until, type TestServers } from './stack.ts';

const processNames = ['ingest', 'bridge', 'worker', 'indexer', 'jobs', 'admin'] as const;
type ProcessName = (typeof processNames)[number];

export interface SystemOptions {
  /** Default: all. */
  readonly processes?: readonly ProcessName[];
  /** All of them in one process, which starts in half the time: where the file does not end or add any. */
  readonly isOneProcess?: boolean;
  readonly slots?: number;
  /** Accounts at the sandbox for these connectors besides SMS; `all`: every one of the demo. */
  readonly connectors?: 'all' | readonly string[];
  readonly ratePerSecond?: number;
  readonly sandbox?: SandboxOptions;
  readonly env?: Readonly<Record<string, string>>;
  /** True: no tenant, no template, no account, no key; as an installation begins. */
  readonly isEmpty?: boolean;
  /** Servers of the file's own instead of the shared ones. */
  readonly servers?: Partial<TestServers>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

export interface System {
  readonly config: Config;
  readonly names: Names;
  readonly sealer: Sealer;
  readonly store: Store;
  readonly temporal: TemporalLink;
  readonly sandbox: Sandbox;
  readonly services: Readonly<Record<ProcessName, Service>>;
  readonly tenantId: string;
  readonly key: string;
  readonly accountId: string;
  /** Connector → account id. */
  readonly accountIds: ReadonlyMap<string, string>;
  readonly adminToken: string;
  readonly receiptToken: string;
  readonly logDir: string;
  /** Calls ingest with the tenant's key. */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  /** Calls admin with the administrator's token. */
  admin(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  /** Starts one more process of a kind. */
  startAnother(name: ProcessName): Promise<Service>;
  /** Waits until a message has one of these statuses. */
  untilStatus(
    id: string,
    wanted: readonly string[],
    timeoutMs?: number,
  ): Promise<Record<string, unknown>>;
}

/** Starts it; everything ends after the file's tests. */
export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const servers = { ...testServers(), ...options.servers };
  const prefix = freshPrefix();
  const database = await createDatabase(servers.mysqlUrl);
  const ports = await freePorts(processNames.length);
  const portOf = Object.fromEntries(
    processNames.map((name, index) => [name, ports[index] ?? 0]),
  ) as Record<ProcessName, number>;
  const adminToken = randomBytes(24).toString('base64url');
  const receiptToken = randomBytes(18).toString('base64url');
  const env: Record<string, string> = {
    ...inheritedEnv(process.env),
    MC_PREFIX: prefix,
    MC_SLOTS: String(options.slots ?? 1),
    MC_LOG_LEVEL: 'info',
    MC_INGEST_PROCESSES: '1',
    MC_ROCKETMQ_ENDPOINT: servers.rocketmqEndpoint,
    MC_ROCKETMQ_NAMESERVER: servers.rocketmqNameServer,
    MC_TEMPORAL_ADDRESS: servers.temporalAddress,
    MC_TEMPORAL_UI_URL: servers.temporalUiUrl,
    MC_ELASTICSEARCH_URL: servers.elasticsearchUrl,
    MC_MYSQL_URL: database.url,
    MC_MASTER_KEYS: `test:${randomBytes(32).toString('base64')}`,
    MC_ADMIN_TOKEN: adminToken,
    MC_ALLOW_PRIVATE_PROVIDERS: 'true',
    ...Object.fromEntries(
      processNames.map((name) => [`MC_${name.toUpperCase()}_PORT`, String(portOf[name])]),
    ),
    ...options.env,
  };
  const config = loadConfig(env);
  const logger = createLogger('test', 'error');
  const logDir = join(servers.dataDir, 'services', prefix);
  await install(config, logger);
  const sealer = createSealer(config.masterKeys);
  const store = createStore({ mysqlUrl: config.mysqlUrl, sealer, slots: config.slots, logger });
  const sandbox = await startSandbox({ ...options.sandbox });
  const tenantId = `tenant-${prefix}`;
  const isEmpty = options.isEmpty === true;
  if (!isEmpty) await store.tenants.ensure(tenantId, 'Test');
  for (const template of isEmpty ? [] : demoTemplates)
    await store.templates.create(tenantId, template);
  const connectors = options.connectors ?? [];
  const accountIds = new Map<string, string>();
  for (const demo of isEmpty ? [] : demoChannels) {
    const { connector } = demo;
    if (connector !== 'sms-aliyun' && connectors !== 'all' && !connectors.includes(connector))
      continue;
    const { id } = await store.channelAccounts.create({
      tenantId,
      channel: connector.split('-', 1)[0] ?? connector,
      edit: {
        ...demoAccount(demo, { urlOf: sandbox.urlOf, receiptToken }),
        ratePerSecond:
          connector === 'sms-aliyun' ? (options.ratePerSecond ?? 1000) : demo.ratePerSecond,
      },
    });
    accountIds.set(connector, id);
  }
  const accountId = accountIds.get('sms-aliyun') ?? '';
  const { key } = isEmpty ? { key: '' } : await store.apiKeys.create(tenantId, { name: 'test' });
  const api = `http://127.0.0.1:${portOf.ingest}`;
  sandbox.pushReceiptsTo(receiptUrls(api, accountIds, receiptToken));

  const all: Service[] = [];
  const launch = (
    name: ProcessName,
    port: number,
    more: Partial<Pick<ServiceOptions, 'instance' | 'script'>> = {},
  ) => {
    const service = startService({
      name,
      ...more,
      env: { ...env, [`MC_${name.toUpperCase()}_PORT`]: String(port) },
      healthUrl: `http://127.0.0.1:${port}`,
      logDir,
    });
    all.push(service);
    return service;
  };
  const wanted = options.processes ?? processNames;
  const services = {} as Record<ProcessName, Service>;
  if (options.isOneProcess === true) {
    const [first = 'ingest'] = wanted;
    env['TEST_SERVICES'] = wanted.join(' ');
    launch(first, portOf[first], { instance: 'and-others', script: 'tests/one-process.ts' });
  } else for (const name of wanted) services[name] = launch(name, portOf[name]);
  const temporal = connectTemporalClient({
    address: config.temporalAddress,
    namespace: config.temporalNamespace,
    sealer,
  });
  after(async () => {
    // Nobody needs what they have in hand; how they end in order is told where a test ends one.
    await Promise.all(all.map((service) => service.stop('SIGKILL')));
    await sandbox.close();
    await temporal.close();
    await store.close();
    await database.drop();
  });
  await Promise.all(
    wanted.map((name) =>
      untilServing({
        name,
        healthUrl: `http://127.0.0.1:${portOf[name]}`,
        timeoutMs: 90_000,
        logFile: logDir,
      }),
    ),
  );

  const ask = async (request: {
    base: string;
    token: string;
    method: string;
    path: string;
    body: unknown;
    headers: Record<string, string>;
  }): Promise<Answer> => {
    const response = await fetch(request.base + request.path, {
      method: request.method,
      headers: {
        authorization: `Bearer ${request.token}`,
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...request.headers,
      },
      ...(request.body !== undefined && {
        body: typeof request.body === 'string' ? request.body : JSON.stringify(request.body),
      }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? {} : JSON.parse(text),
    };
  };
  const call: System['call'] = (method, path, body, headers = {}) =>
    ask({ base: api, token: key, method, path, body, headers });
  return {
    config,
    names: createNames(prefix),
    sealer,
    store,
    temporal,
    sandbox,
    services,
    tenantId,
    key,
    accountId,
    accountIds,
    adminToken,
    receiptToken,
    logDir,
    call,
    admin: (method, path, body, headers = {}) =>
      ask({
        base: `http://127.0.0.1:${portOf.admin}`,
        token: adminToken,
        method,
        path,
        body,
        headers,
      }),
    startAnother: async (name) => {
      const [port = 0] = await freePorts(1);
      const service = launch(name, port, { instance: String(all.length) });
      await service.ready(90_000);
      return service;
    },
    untilStatus: async (id, statuses, timeoutMs = 30_000) => {
      let last: Record<string, unknown> = {};
      return until(
        `${id} is ${statuses.join(' or ')}`,
        async () => {
          last = (await call('GET', `/v1/messages/${id}`)).body;
          return statuses.includes(String(last['status'])) ? last : undefined;
        },
        { timeoutMs, seen: () => last },
      );
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
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
