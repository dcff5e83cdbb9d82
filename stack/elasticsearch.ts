/** Elasticsearch: one node, no security, small heap. */
import { createHash } from 'node:crypto';
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { answersHttp } from './probes.ts';
import { createServerProcess, type RunningServer } from './server-process.ts';
import type { ServerSite } from './server-site.ts';

/**
 * Elasticsearch refuses to run as root. The user it runs as instead cannot enter root's home (mode 0700), nor a
 * checkout in a private temporary folder, so as root its program and data lie here.
 */
const rootSiteDir = '/var/lib/message-center';
const unprivilegedUserId = 65_534;

const isRoot = () => process.getuid?.() === 0;

/** The folder of Elasticsearch's data: in the data folder, or for root one of its own under /var/lib. */
export function elasticsearchHome(dataDir: string): string {
  if (!isRoot()) return join(dataDir, 'elasticsearch');
  const hash = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  return join(rootSiteDir, hash);
}

/** Creates the server on `programPath`, the unpacked distribution; `javaHome` is the Java to run it with. */
export function createElasticsearch(
  site: ServerSite,
  programPath: string,
  javaHome: string,
): RunningServer {
  const { ports } = site;
  const home = elasticsearchHome(site.dataDir);
  const program = isRoot() ? join(rootSiteDir, basename(programPath)) : programPath;
  const configDir = join(home, 'config');
  const url = `http://127.0.0.1:${ports.elasticsearchHttp}`;

  const server = createServerProcess(
    {
      title: 'Elasticsearch',
      command: join(program, 'bin', 'elasticsearch'),
      // Besides its meaning, the setting marks the launcher's command line; the node's holds the folder anyway.
      args: ['-E', `path.data=${join(home, 'data')}`],
      variables: {
        ES_JAVA_HOME: javaHome,
        ES_PATH_CONF: configDir,
        ES_TMPDIR: join(home, 'tmp'),
        HOME: home,
      },
      workDir: home,
      ...(isRoot() ? { userId: unprivilegedUserId } : {}),
      ports: [ports.elasticsearchHttp, ports.elasticsearchTransport],
      logFile: join(site.dataDir, 'logs', 'elasticsearch.log'),
      noteFile: join(site.dataDir, 'run', 'elasticsearch.json'),
      marker: home,
      isReady: () => answersHttp(`${url}/_cluster/health?wait_for_status=yellow&timeout=1s`),
      readyTimeoutMs: 240_000,
      stopTimeoutMs: 20_000,
    },
    site.onProgress,
  );

  return {
    get pid() {
      return server.pid;
    },
    prepare: server.prepare,
    start: async () => {
      if (isRoot()) copyProgram(programPath, program);
      writeConfiguration(site, home);
      await server.start();
    },
    stop: server.stop,
    kill: server.kill,
  };
}

/** One copy of the program for all data folders; it is only read. */
function copyProgram(from: string, to: string): void {
  if (existsSync(to)) return;
  const unfinished = `${to}.${process.pid}`;
  mkdirSync(rootSiteDir, { recursive: true, mode: 0o755 });
  rmSync(unfinished, { recursive: true, force: true });
  cpSync(from, unfinished, { recursive: true });
  try {
    renameSync(unfinished, to);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(to)) throw error;
  }
}

function writeConfiguration({ ports }: ServerSite, home: string): void {
  for (const folder of ['config', 'data', 'tmp', 'logs']) {
    mkdirSync(join(home, folder), { recursive: true });
    if (isRoot()) chownSync(join(home, folder), unprivilegedUserId, unprivilegedUserId);
  }
  if (isRoot()) chownSync(home, unprivilegedUserId, unprivilegedUserId);
  const config = (name: string, lines: readonly string[]) =>
    writeFileSync(join(home, 'config', name), `${lines.join('\n')}\n`);
  config('elasticsearch.yml', [
    'cluster.name: message-center',
    'node.name: local',
    'discovery.type: single-node',
    'network.host: 127.0.0.1',
    `http.port: ${ports.elasticsearchHttp}`,
    `transport.port: ${ports.elasticsearchTransport}`,
    `path.logs: ${join(home, 'logs')}`,
    'xpack.security.enabled: false',
    // A developer's disk is often fuller than a cluster's may be.
    'cluster.routing.allocation.disk.threshold_enabled: false',
  ]);
  config('jvm.options', [
    '-Xms768m',
    '-Xmx768m',
    '-XX:+UseSerialGC',
    '-Djava.io.tmpdir=${ES_TMPDIR}',
    '-XX:+ExitOnOutOfMemoryError',
    '20-:--add-modules=jdk.incubator.vector',
  ]);
  // Everything to the standard output, which is our log file.
  config('log4j2.properties', [
    'status = error',
    'appender.console.type = Console',
    'appender.console.name = console',
    'appender.console.layout.type = PatternLayout',
    'appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %marker%m%n',
    'rootLogger.level = info',
    'rootLogger.appenderRef.console.ref = console',
  ]);
}
