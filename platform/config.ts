/**
 * Every setting of every process: name, default, unit, meaning. `docs/configuration.md` is generated from this table,
 * and no other file reads the environment (lint enforces it).
 */
import { existsSync, readFileSync } from 'node:fs';

type Kind = 'string' | 'integer' | 'boolean' | 'list';
interface Setting {
  readonly env: string;
  readonly kind: Kind;
  readonly default: string;
  readonly description: string;
  readonly secret?: true;
  readonly min?: number;
  readonly max?: number;
}

const port = (env: string, value: number, description: string) =>
  ({ env, kind: 'integer', default: String(value), description, min: 1, max: 65535 }) as const;

/** The table. A key is a camel-case name; `env` is how it is set. */
export const settings = {
  prefix: {
    env: 'MC_PREFIX',
    kind: 'string',
    default: 'mc',
    description:
      'First part of every topic, group, index and task queue name; separate installations never meet.',
  },
  logLevel: {
    env: 'MC_LOG_LEVEL',
    kind: 'string',
    default: 'info',
    description: 'Least severe log line written: trace, debug, info, warn, error.',
  },
  slots: {
    env: 'MC_SLOTS',
    kind: 'integer',
    default: '16',
    description:
      'Lanes are made for this many channel accounts to have one of their own; further accounts share.',
    min: 1,
    max: 1000,
  },
  rocketmqEndpoint: {
    env: 'MC_ROCKETMQ_ENDPOINT',
    kind: 'string',
    default: '127.0.0.1:8081',
    description: 'gRPC address of the RocketMQ proxy, exactly one host:port.',
  },
  rocketmqNameServer: {
    env: 'MC_ROCKETMQ_NAMESERVER',
    kind: 'string',
    default: '127.0.0.1:9876',
    description:
      'Address of the RocketMQ name server; used to create topics, groups and start offsets.',
  },
  temporalAddress: {
    env: 'MC_TEMPORAL_ADDRESS',
    kind: 'string',
    default: '127.0.0.1:7233',
    description: 'gRPC address of the Temporal frontend.',
  },
  temporalNamespace: {
    env: 'MC_TEMPORAL_NAMESPACE',
    kind: 'string',
    default: 'message-center',
    description: 'Temporal namespace that holds the deliveries.',
  },
  temporalUiUrl: {
    env: 'MC_TEMPORAL_UI_URL',
    kind: 'string',
    default: 'http://127.0.0.1:8233',
    description: 'Where people open the Temporal Web UI; used in links only.',
  },
  temporalRetentionDays: {
    env: 'MC_TEMPORAL_RETENTION_DAYS',
    kind: 'integer',
    default: '7',
    description: 'Days for which a closed run is kept. Idempotency keys hold this long.',
    min: 1,
    max: 90,
  },
  temporalDeployment: {
    env: 'MC_TEMPORAL_DEPLOYMENT',
    kind: 'string',
    default: 'message-center',
    description: 'Name of the Temporal worker deployment that versions belong to.',
  },
  temporalBuildId: {
    env: 'MC_TEMPORAL_BUILD_ID',
    kind: 'string',
    default: '',
    description:
      'Version of the workflows in this deployment (a commit, a release): the bridge then takes work once that version is set current; empty: unversioned.',
  },
  elasticsearchUrl: {
    env: 'MC_ELASTICSEARCH_URL',
    kind: 'string',
    default: 'http://127.0.0.1:9200',
    description: 'Elasticsearch base URL.',
  },
  mysqlUrl: {
    env: 'MC_MYSQL_URL',
    kind: 'string',
    default: 'mysql://mc:mc@127.0.0.1:3306/message_center',
    description: 'MySQL or MariaDB connection URL with user, password and database.',
    secret: true,
  },
  masterKeys: {
    env: 'MC_MASTER_KEYS',
    kind: 'list',
    default: '',
    description:
      'Keyring that seals personal data and account secrets: `name:base64 of 32 bytes`, comma separated, the first one seals, all of them open. An entry of 64 bytes is the hash key of one that was taken out (docs/operations.md).',
    secret: true,
  },
  adminToken: {
    env: 'MC_ADMIN_TOKEN',
    kind: 'string',
    default: '',
    description: 'Bearer token of the administration API, 24 characters or more.',
    secret: true,
  },
  oidcIssuer: {
    env: 'MC_OIDC_ISSUER',
    kind: 'string',
    default: '',
    description:
      'Issuer of the OpenID Connect provider at which administrators may sign in; empty: none.',
  },
  oidcClientId: {
    env: 'MC_OIDC_CLIENT_ID',
    kind: 'string',
    default: '',
    description: 'Our client id at the OpenID Connect provider.',
  },
  oidcClientSecret: {
    env: 'MC_OIDC_CLIENT_SECRET',
    kind: 'string',
    default: '',
    description: 'Our client secret at the OpenID Connect provider.',
    secret: true,
  },
  oidcRedirect: {
    env: 'MC_OIDC_REDIRECT',
    kind: 'string',
    default: '',
    description: 'Address of `/v1/oidc/callback` of admin as browsers reach it.',
  },
  oidcNewcomers: {
    env: 'MC_OIDC_NEWCOMERS',
    kind: 'string',
    default: 'refuse',
    description:
      'Whom the provider knows and we do not: refuse; link (to the user without a password whose login is the verified mail address); create (link, or make a user without grants).',
  },
  codecAccess: {
    env: 'MC_CODEC_ACCESS',
    kind: 'string',
    default: 'token',
    description:
      'Who may have Temporal payloads decoded by admin: token (an administrator of all tenants) or local (anyone on this machine).',
  },
  host: {
    env: 'MC_HOST',
    kind: 'string',
    default: '127.0.0.1',
    description: 'Address our HTTP servers listen on; 0.0.0.0 inside a container.',
  },
  publicUrl: {
    env: 'MC_PUBLIC_URL',
    kind: 'string',
    default: '',
    description:
      'How the outside reaches ingest, for receipt addresses in messages to people; empty: http://host:port.',
  },
  ingestPort: port('MC_INGEST_PORT', 8000, 'Port of ingest: POST, status, search, receipts.'),
  ingestProcesses: {
    env: 'MC_INGEST_PROCESSES',
    kind: 'integer',
    default: '0',
    description:
      'Processes of ingest behind its one port; 0: one per core of the machine. Each has its share of the quotas per second.',
    min: 0,
    max: 64,
  },
  adminPort: port('MC_ADMIN_PORT', 8001, 'Port of the administration API.'),
  bridgePort: port(
    'MC_BRIDGE_PORT',
    8002,
    'Port of the bridge for /healthz, /readyz and /metrics.',
  ),
  workerPort: port(
    'MC_WORKER_PORT',
    8003,
    'Port of the worker for /healthz, /readyz and /metrics.',
  ),
  indexerPort: port(
    'MC_INDEXER_PORT',
    8004,
    'Port of the indexer for /healthz, /readyz and /metrics.',
  ),
  jobsPort: port('MC_JOBS_PORT', 8005, 'Port of jobs for /healthz, /readyz and /metrics.'),
  sandboxPort: port('MC_SANDBOX_PORT', 8010, 'Port of the sandbox: the simulated providers.'),
  sandboxControlPort: port(
    'MC_SANDBOX_CONTROL_PORT',
    8011,
    'Port that reads and steers the sandbox.',
  ),
  sandboxApnsPort: port('MC_SANDBOX_APNS_PORT', 8012, "Port of the sandbox's APNs (HTTP/2)."),
  sandboxSmtpPort: port('MC_SANDBOX_SMTP_PORT', 8013, "Port of the sandbox's mail server."),
  sandboxReceiptUrls: {
    env: 'MC_SANDBOX_RECEIPT_URLS',
    kind: 'string',
    default: '',
    description:
      'Where the sandbox pushes receipts: a JSON object from simulator to URL; empty: nowhere.',
    secret: true,
  },
  indexDays: {
    env: 'MC_INDEX_DAYS',
    kind: 'integer',
    default: '30',
    description: 'Days that messages can be searched; older daily indices are dropped whole.',
    min: 8,
    max: 3650,
  },
  auditDays: {
    env: 'MC_AUDIT_DAYS',
    kind: 'integer',
    default: '0',
    description:
      'Days that entries of the audit log are kept; older ones are removed by jobs, which is an entry itself. 0: for ever.',
    min: 0,
    max: 36500,
  },
  dayKeyDays: {
    env: 'MC_DAY_KEY_DAYS',
    kind: 'integer',
    default: '0',
    description:
      'Days after which nobody can open any more what a message is about: the key of its day is destroyed. 0: once no message of that day can need it, by default 133 (docs/operations.md). Fewer, 14 at least, bound how far ahead `sendAt` may be.',
    min: 0,
    max: 3650,
  },
  askReceiptsEverySeconds: {
    env: 'MC_ASK_RECEIPTS_EVERY_SECONDS',
    kind: 'integer',
    default: '30',
    description:
      'How often jobs looks for sent messages whose provider is to be asked for a receipt.',
    min: 1,
    max: 3600,
  },
  paceSeconds: {
    env: 'MC_PACE_SECONDS',
    kind: 'integer',
    default: '30',
    description:
      "Seconds of work that may wait in a channel account's task queue before the bridge leaves the rest in RocketMQ.",
    min: 1,
    max: 3600,
  },
  paceOpenRuns: {
    env: 'MC_PACE_OPEN_RUNS',
    kind: 'integer',
    default: '50000',
    description:
      'Open runs of one channel account above which the bridge takes no more of its messages.',
    min: 1,
    max: 10000000,
  },
  scheduledRuns: {
    env: 'MC_SCHEDULED_RUNS',
    kind: 'integer',
    default: '100000',
    description: 'Messages of one tenant that may wait for their sendAt; more are refused.',
    min: 1,
    max: 10000000,
  },
  bridgeLoops: {
    env: 'MC_BRIDGE_LOOPS',
    kind: 'integer',
    default: '2',
    description: 'Concurrent receive loops per lane.',
    min: 1,
    max: 32,
  },
  invisibleSeconds: {
    env: 'MC_INVISIBLE_SECONDS',
    kind: 'integer',
    default: '60',
    description:
      'Seconds after which a received but unacknowledged RocketMQ message is delivered again.',
    min: 10,
    max: 43200,
  },
  allowPrivateProviders: {
    env: 'MC_ALLOW_PRIVATE_PROVIDERS',
    kind: 'boolean',
    default: 'false',
    description:
      'Whether channel accounts may point at loopback and private addresses; true for the sandbox.',
  },
  dataDir: {
    env: 'MC_DATA_DIR',
    kind: 'string',
    default: '.data',
    description:
      "Folder of the local servers' data, logs and generated secrets (`npm start` and `npm test` only).",
  },
  cacheDir: {
    env: 'MC_CACHE_DIR',
    kind: 'string',
    default: '',
    description:
      "Folder of fetched server archives; empty: message-center in the user's cache folder.",
  },
  portOffset: {
    env: 'MC_PORT_OFFSET',
    kind: 'integer',
    default: '0',
    description:
      'Added to every port of the local servers, so that several stacks run side by side.',
    min: 0,
    max: 50000,
  },
  externalServers: {
    env: 'MC_EXTERNAL_SERVERS',
    kind: 'boolean',
    default: 'false',
    description:
      'True when RocketMQ, Temporal, Elasticsearch and MySQL are run by somebody else; `npm start` then starts only our services.',
  },
} as const satisfies Record<string, Setting>;

type Settings = typeof settings;
type Value<S extends Setting> = S['kind'] extends 'integer'
  ? number
  : S['kind'] extends 'boolean'
    ? boolean
    : S['kind'] extends 'list'
      ? readonly string[]
      : string;
export type Config = { readonly [K in keyof Settings]: Value<Settings[K]> };

/**
 * Reads the settings from an environment, applies defaults, and reports all faults at once.
 * `MC_<NAME>_FILE` names a file to read the value from (for mounted secrets).
 * Errors: one Error whose message has a line per fault.
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings) as [string, Setting][]) {
    const raw = readRaw(env, setting, faults);
    values[key] = parse(raw, setting, faults);
  }
  const known = new Set(Object.values(settings).flatMap((s) => [s.env, `${s.env}_FILE`]));
  for (const name of Object.keys(env))
    if (name.startsWith('MC_') && !known.has(name))
      faults.push(`${name} is not a setting; see docs/configuration.md`);
  if (faults.length > 0)
    throw new Error(`The configuration is not usable:\n- ${faults.join('\n- ')}`);
  return Object.freeze(values) as Config;
}

function readRaw(
  env: Readonly<Record<string, string | undefined>>,
  setting: Setting,
  faults: string[],
): string {
  const file = env[`${setting.env}_FILE`];
  if (file === undefined) return env[setting.env] ?? setting.default;
  if (existsSync(file)) return readFileSync(file, 'utf8').trim();
  faults.push(`${setting.env}_FILE names ${file}, which does not exist`);
  return setting.default;
}

function parse(raw: string, setting: Setting, faults: string[]): unknown {
  switch (setting.kind) {
    case 'string':
      return raw;
    case 'list':
      return Object.freeze(
        raw
          .split(',')
          .map((part) => part.trim())
          .filter((part) => part !== ''),
      );
    case 'boolean':
      if (raw !== 'true' && raw !== 'false')
        faults.push(`${setting.env} must be true or false, not "${raw}"`);
      return raw === 'true';
    case 'integer': {
      const value = Number(raw);
      const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = setting;
      if (!Number.isSafeInteger(value) || raw.trim() === '' || value < min || value > max)
        faults.push(`${setting.env} must be a whole number from ${min} to ${max}, not "${raw}"`);
      return value;
    }
  }
}

/** The configuration as it may be logged: secrets replaced by `(set)` or `(empty)`. */
export function redactedConfig(config: Config): Record<string, unknown> {
  return Object.fromEntries(
    (Object.entries(settings) as [keyof Config, Setting][]).map(([key, setting]) => [
      key,
      setting.secret ? (config[key].toString() === '' ? '(empty)' : '(set)') : config[key],
    ]),
  );
}
