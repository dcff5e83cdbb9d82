/** RocketMQ: a name server, and one process that is broker and proxy, with synchronous flush. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRocketmqAdmin } from '../platform/rocketmq-admin.ts';
import { createRemotingConnection } from '../platform/rocketmq-remoting.ts';
import type { Ports } from './ports.ts';
import { answersTcp } from './probes.ts';
import { createServerProcess, type ProcessSpec, type RunningServer } from './server-process.ts';
import type { ServerSite } from './server-site.ts';

const clusterName = 'DefaultCluster';
const updateBrokerConfig = 25;
const timeoutMs = 2000;

/** Creates the server on `programPath`, the folder of RocketMQ's jars. It needs `java` on the PATH. */
export function createRocketmq(site: ServerSite, programPath: string): RunningServer {
  const { ports } = site;
  const home = join(site.dataDir, 'rocketmq');
  const temporaryDir = join(home, 'tmp');
  const nameServerAddress = `127.0.0.1:${ports.rocketmqNameServer}`;

  const shared = (name: string, title: string) =>
    ({
      title,
      command: 'java',
      variables: { ROCKETMQ_HOME: home },
      workDir: home,
      logFile: join(site.dataDir, 'logs', `${name}.log`),
      noteFile: join(site.dataDir, 'run', `${name}.json`),
      marker: `-Drocketmq.home.dir=${home}`,
      readyTimeoutMs: 240_000,
      stopTimeoutMs: 30_000,
    }) satisfies Partial<ProcessSpec>;

  // user.home keeps RocketMQ's own log files, <user.home>/logs/rocketmqlogs, out of the real home folder.
  // java.io.tmpdir, because a killed broker leaves the library that it unpacked there.
  const javaArgs = [
    `-Drocketmq.home.dir=${home}`,
    `-Duser.home=${home}`,
    `-Djava.io.tmpdir=${temporaryDir}`,
    '-XX:+UseSerialGC',
    '-Xshare:auto',
  ];
  const classPath = ['-cp', join(programPath, '*')];

  const nameServer = createServerProcess(
    {
      ...shared('rocketmq-nameserver', 'RocketMQ name server'),
      args: [
        ...javaArgs,
        '-Xmx128m',
        '-XX:TieredStopAtLevel=1',
        ...classPath,
        'org.apache.rocketmq.namesrv.NamesrvStartup',
        '-c',
        join(home, 'nameserver.conf'),
      ],
      ports: [ports.rocketmqNameServer],
      isReady: () => answersTcp(ports.rocketmqNameServer),
    },
    site.onProgress,
  );

  const broker = createServerProcess(
    {
      ...shared('rocketmq', 'RocketMQ broker'),
      args: [
        ...javaArgs,
        '-Xms512m',
        '-Xmx1g',
        '-XX:MaxDirectMemorySize=1g',
        ...classPath,
        'org.apache.rocketmq.proxy.ProxyStartup',
        '-n',
        nameServerAddress,
        '-pm',
        'local',
        '-bc',
        join(home, 'broker.conf'),
        '-pc',
        join(home, 'proxy.json'),
      ],
      ports: [
        ports.rocketmqBroker,
        ports.rocketmqBrokerFast,
        ports.rocketmqBrokerReplication,
        ports.rocketmqProxyGrpc,
        ports.rocketmqProxyRemoting,
      ],
      isReady: async () =>
        (await answersTcp(ports.rocketmqProxyGrpc)) && (await hasRegistered(ports)),
    },
    site.onProgress,
  );

  return {
    get pid() {
      return broker.pid;
    },
    prepare: async () => {
      await nameServer.prepare();
      await broker.prepare();
    },
    start: async () => {
      rmSync(temporaryDir, { recursive: true, force: true });
      mkdirSync(temporaryDir, { recursive: true });
      writeConfiguration(site, home);
      // Both at once, and both to their end, so that a failure leaves none on its way.
      const outcomes = await Promise.allSettled([nameServer.start(), broker.start()]);
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    },
    stop: async () => {
      await broker.stop();
      await nameServer.stop();
    },
    kill: async (signal) => {
      await Promise.all([broker.kill(signal), nameServer.kill(signal)]);
    },
  };
}

/** Whether the name server knows the broker, which is asked to register when it has not. */
async function hasRegistered(ports: Ports): Promise<boolean> {
  const admin = createRocketmqAdmin({
    nameServer: `127.0.0.1:${ports.rocketmqNameServer}`,
    timeoutMs,
  });
  try {
    if ((await admin.brokers()).length > 0) return true;
  } finally {
    admin.close();
  }
  // A broker's first registration is lost when it is sent before its connection to the name server is up, and the next
  // one is 10 seconds away. Setting its permission, to what it is, makes it register now.
  const broker = createRemotingConnection(`127.0.0.1:${ports.rocketmqBroker}`, timeoutMs);
  try {
    await broker.call({ code: updateBrokerConfig, body: Buffer.from('brokerPermission=6') });
  } finally {
    broker.close();
  }
  return false;
}

function writeConfiguration({ ports }: ServerSite, home: string): void {
  mkdirSync(home, { recursive: true });
  const store = join(home, 'store');
  writeFileSync(
    join(home, 'nameserver.conf'),
    properties({
      bindAddress: '127.0.0.1',
      listenPort: ports.rocketmqNameServer,
      kvConfigPath: join(home, 'nameserver-kv.json'),
    }),
  );
  writeFileSync(
    join(home, 'broker.conf'),
    properties({
      brokerClusterName: clusterName,
      brokerName: 'broker-a',
      brokerId: 0,
      brokerIP1: '127.0.0.1',
      bindAddress: '127.0.0.1',
      listenPort: ports.rocketmqBroker,
      haListenPort: ports.rocketmqBrokerReplication,
      namesrvAddr: `127.0.0.1:${ports.rocketmqNameServer}`,
      storePathRootDir: store,
      storePathCommitLog: join(store, 'commitlog'),
      storePathConsumeQueue: join(store, 'consumequeue'),
      storePathIndex: join(store, 'index'),
      brokerRole: 'ASYNC_MASTER',
      flushDiskType: 'SYNC_FLUSH',
      autoCreateTopicEnable: false,
      fileReservedTime: 72,
      // The default refuses writes on a developer's disk that is three quarters full.
      diskMaxUsedSpaceRatio: 95,
      // Start offsets are committed before there is a consumer; what is not flushed yet is lost with the process.
      flushConsumerOffsetInterval: 1000,
      // Reads ahead fill the page cache in pieces of up to 2 MiB, and where the kernel keeps them whole, each flush of a message
      // writes a piece: 400 MB/s for 200 flushes a second, 3 without.
      dataReadAheadEnable: false,
      // A slow disk shared with everything else: wait rather than answer "broker busy".
      waitTimeMillsInSendQueue: 2000,
      // We publish nothing to be delivered later, but receiving needs the wheel for it, and it is written to disk whole each
      // time: an eighth of a core with the default of a second.
      timerFlushIntervalMs: 30_000,
      // Small files: the defaults take gigabytes for the first message.
      mappedFileSizeCommitLog: 134_217_728,
      mappedFileSizeConsumeQueue: 20 * 60_000,
      mappedFileSizeTimerLog: 10_485_760,
      maxHashSlotNum: 500_000,
      maxIndexNum: 2_000_000,
    }),
  );
  writeFileSync(
    join(home, 'proxy.json'),
    JSON.stringify({
      rocketMQClusterName: clusterName,
      namesrvAddr: `127.0.0.1:${ports.rocketmqNameServer}`,
      grpcServerPort: ports.rocketmqProxyGrpc,
      remotingListenPort: ports.rocketmqProxyRemoting,
    }),
  );
}

const properties = (values: Readonly<Record<string, string | number | boolean>>) =>
  `${Object.entries(values)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')}\n`;
