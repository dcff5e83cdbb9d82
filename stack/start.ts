/** `npm start`: everything on this machine, from fetched servers to a delivered message. Ctrl-C stops all of it. */
import { createConnection } from 'node:net';
import { resolve } from 'node:path';
import { loadConfig, type Config } from '../platform/config.ts';
import { createLogger } from '../platform/logger.ts';
import { pause } from '../platform/lifecycle.ts';
import { install } from './install.ts';
import { localSecrets, saveSecrets } from './secrets.ts';
import { demoChannels } from '../channels/demo.ts';
import { demoTenant, receiptUrls, seedDemo } from './seed.ts';
import { inheritedEnv, serviceNames, startService, type Service } from './services.ts';
import { defaultCacheDir, serverNames, startServers, type Servers } from './servers.ts';

const say = (line: string) => console.log(line);
const given = loadConfig(process.env);
const dataDir = resolve(given.dataDir);
const logDir = resolve(dataDir, 'logs');
const services: Service[] = [];
let servers: Servers | undefined;
let stopping: Promise<void> | undefined;

const stop = () =>
  (stopping ??= (async () => {
    say('\nStopping; Ctrl-C again ends it at once.');
    await Promise.all(services.map((service) => service.stop()));
    await servers?.stop();
    say('Everything is stopped.');
  })());
let firstSignalAt: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    // A terminal signals the whole group, and our parents pass theirs on: several within a moment are one Ctrl-C.
    if (firstSignalAt !== undefined && Date.now() - firstSignalAt > 1000) process.exit(130);
    firstSignalAt ??= Date.now();
    void stop().then(() => process.exit(0));
  });

try {
  await start();
} catch (error) {
  if (stopping === undefined) {
    console.error(`\nCould not start: ${error instanceof Error ? error.message : String(error)}`);
    await stop();
    process.exit(1);
  }
}

async function start(): Promise<void> {
  const startedAt = Date.now();
  const offset = given.portOffset;
  const secrets = localSecrets(dataDir);
  if (!given.externalServers) {
    say('Servers: RocketMQ, Temporal, Elasticsearch, MariaDB');
    servers = await startServers({
      dataDir,
      cacheDir: given.cacheDir === '' ? defaultCacheDir(process.env) : resolve(given.cacheDir),
      portOffset: offset,
      codecEndpoint: `http://127.0.0.1:${given.adminPort + offset}/codec`,
      onProgress: (line) => say(`  ${line}`),
    });
  }
  const ports = shiftedPorts(given, offset);
  const env: Record<string, string> = {
    ...inheritedEnv(process.env),
    ...ourSettings(process.env),
    ...(servers === undefined ? {} : serverSettings(servers)),
    ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)])),
    MC_PORT_OFFSET: '0',
    MC_MASTER_KEYS: secrets.masterKeys,
    MC_ADMIN_TOKEN: secrets.adminToken,
    MC_ALLOW_PRIVATE_PROVIDERS: 'true',
    MC_CODEC_ACCESS: 'local',
  };
  const config = loadConfig(env);
  const logger = createLogger('start', 'warn');
  await Promise.all(Object.entries(ports).map(([setting, port]) => requireFree(setting, port)));
  say('Installing topics, tables, indices');
  await install(config, logger);
  const seeded = await seedDemo(config, {
    logger,
    receiptToken: secrets.receiptToken,
    wantsKey: secrets.demoKey === undefined,
    urlOf: (simulator) => sandboxUrl(config, simulator),
  });
  const demoKey = secrets.demoKey ?? seeded.key ?? '';
  if (secrets.demoKey === undefined) saveSecrets(dataDir, { ...secrets, demoKey });

  say('Services: ' + serviceNames.join(', '));
  const healthPorts = {
    sandbox: config.sandboxControlPort,
    ingest: config.ingestPort,
    bridge: config.bridgePort,
    worker: config.workerPort,
    indexer: config.indexerPort,
    jobs: config.jobsPort,
    admin: config.adminPort,
  };
  const api = `http://127.0.0.1:${config.ingestPort}`;
  for (const name of serviceNames)
    services.push(
      startService({
        name,
        env:
          name === 'sandbox'
            ? {
                ...env,
                MC_SANDBOX_RECEIPT_URLS: JSON.stringify(
                  receiptUrls(api, seeded.accountIds, secrets.receiptToken),
                ),
              }
            : env,
        healthUrl: `http://127.0.0.1:${healthPorts[name]}`,
        logDir,
        onCrash: (crashed, how) => say(`  ${crashed} ended (${how}); starting it again`),
      }),
    );
  await Promise.all(services.map((service) => service.ready(120_000)));
  if (servers !== undefined) void guard(servers);
  say(`Ready after ${((Date.now() - startedAt) / 1000).toFixed(1)} s. A first message:`);
  await sendSample(api, demoKey);
  say('And one through every other channel:');
  await sendEverywhere(api, demoKey);
  sayWhere(config, demoKey, secrets.adminToken);
}

/** Starts a server that ended by itself again, on the data it left. */
async function guard(running: Servers): Promise<void> {
  const isStopping = () => stopping !== undefined;
  while (!isStopping()) {
    for (const name of serverNames) {
      if (isStopping() || running[name].pid !== undefined) continue;
      say(`  ${name} is not running; starting it again`);
      await running[name].start().then(
        () => say(`  ${name} answers again`),
        (error: unknown) => say(`  ${error instanceof Error ? error.message : String(error)}`),
      );
    }
    await pause(2000);
  }
}

/** Where the sandbox's process plays a provider. */
function sandboxUrl(config: Config, simulator: string): string {
  if (simulator === 'push-apns') return `http://127.0.0.1:${config.sandboxApnsPort}`;
  if (simulator === 'email-smtp') return `smtp://127.0.0.1:${config.sandboxSmtpPort}`;
  return `http://127.0.0.1:${config.sandboxPort}/${simulator}`;
}

/** Our own settings in the environment, handed on to the services. */
function ourSettings(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[0].startsWith('MC_') && entry[1] !== undefined,
    ),
  );
}

function serverSettings(running: Servers): Record<string, string> {
  return {
    MC_ROCKETMQ_ENDPOINT: running.rocketmqEndpoint,
    MC_ROCKETMQ_NAMESERVER: running.rocketmqNameServer,
    MC_TEMPORAL_ADDRESS: running.temporalAddress,
    MC_TEMPORAL_UI_URL: running.temporalUiUrl,
    MC_ELASTICSEARCH_URL: running.elasticsearchUrl,
    MC_MYSQL_URL: running.mysqlUrl,
  };
}

function shiftedPorts(config: Config, offset: number): Record<string, number> {
  return {
    MC_INGEST_PORT: config.ingestPort + offset,
    MC_ADMIN_PORT: config.adminPort + offset,
    MC_BRIDGE_PORT: config.bridgePort + offset,
    MC_WORKER_PORT: config.workerPort + offset,
    MC_INDEXER_PORT: config.indexerPort + offset,
    MC_JOBS_PORT: config.jobsPort + offset,
    MC_SANDBOX_PORT: config.sandboxPort + offset,
    MC_SANDBOX_CONTROL_PORT: config.sandboxControlPort + offset,
    MC_SANDBOX_APNS_PORT: config.sandboxApnsPort + offset,
    MC_SANDBOX_SMTP_PORT: config.sandboxSmtpPort + offset,
  };
}

async function requireFree(setting: string, port: number): Promise<void> {
  const isBusy = await new Promise<boolean>((resolveBusy) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolveBusy(true);
    });
    socket.once('error', () => resolveBusy(false));
  });
  if (isBusy)
    throw new Error(
      `port ${port} is in use by another program; set ${setting}, or MC_PORT_OFFSET to move all of them`,
    );
}

async function sendSample(api: string, key: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  // The sandbox allows a number one login code a minute, as the provider does: a number of its own for each start.
  const phone = `138${String(Date.now()).slice(-8)}`;
  const body = JSON.stringify({
    to: { phone },
    template: 'order-shipped',
    variables: { orderId: `SO-${new Date().toISOString().slice(0, 10)}` },
  });
  const postedAt = Date.now();
  const answer = await fetch(`${api}/v1/messages`, { method: 'POST', headers, body });
  const accepted = (await answer.json()) as { id?: string };
  if (answer.status !== 202)
    throw new Error(
      `the sample message was answered with ${answer.status}: ${JSON.stringify(accepted)}`,
    );
  let last = '';
  while (Date.now() - postedAt < 30_000) {
    const status = (await (
      await fetch(`${api}/v1/messages/${accepted.id}`, { headers })
    ).json()) as { status: string };
    if (status.status !== last)
      say(`  ${String(Date.now() - postedAt).padStart(6)} ms  ${status.status}`);
    last = status.status;
    if (last === 'delivered') break;
    await pause(50);
  }
  say(`  ${accepted.id}`);
}

/** One message through each channel of the demo, by the address that its simulator knows. */
async function sendEverywhere(api: string, key: string): Promise<void> {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const sent = await Promise.all(
    demoChannels.map(async ({ connector, to }) => {
      const text = `Hello through ${connector}`;
      const body = { to, channel: connector, template: 'plain-notice', variables: { text } };
      const init = { method: 'POST', headers, body: JSON.stringify(body) };
      const accepted = (await (await fetch(`${api}/v1/messages`, init)).json()) as { id?: string };
      const deadline = Date.now() + 30_000;
      let status = 'not accepted';
      while (accepted.id !== undefined && Date.now() < deadline) {
        const answer = await fetch(`${api}/v1/messages/${accepted.id}`, { headers });
        ({ status } = (await answer.json()) as { status: string });
        if (['sent', 'delivered', 'failed', 'unknown'].includes(status)) break;
        await pause(200);
      }
      return `  ${connector.padEnd(20)} ${Object.keys(to)[0]?.padEnd(15)} ${status}`;
    }),
  );
  for (const line of sent) say(line);
}

function sayWhere(config: Config, key: string, adminToken: string): void {
  const url = (port: number) => `http://127.0.0.1:${port}`;
  say(`
  API and its docs      ${url(config.ingestPort)}/docs
  Administration        ${url(config.adminPort)}/docs   (Bearer ${adminToken})
  What people see       ${url(config.sandboxControlPort)}
  Temporal UI           ${config.temporalUiUrl}/namespaces/${config.temporalNamespace}/workflows
  Logs and data         ${dataDir}

Send a message as tenant "${demoTenant}":

  curl -sS ${url(config.ingestPort)}/v1/messages -H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json' \\
    -d '{"to":{"phone":"13900001111"},"template":"login-code","variables":{"code":"493817"}}'

Ctrl-C stops everything.`);
}
