/**
 * `npm test`: provisions the real servers, checks the code, runs every test against them, and closes with
 * `N passed, N failed`. Arguments are files or folders to run only those; `--no-check` leaves the checks out.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadConfig } from '../platform/config.ts';
import { defaultCacheDir, resetServers, startServers } from '../stack/servers.ts';
import { compile, filesLike, runFiles, type Ran } from './test-files.ts';

const given = process.argv.slice(2);
const only = given.filter((argument) => !argument.startsWith('--'));
// MC_BIG=true is for the tests: larger counts, for those that have one.
const { MC_BIG: isBig, ...settings } = process.env;
const config = loadConfig(settings);
/** A stack of its own beside the one of `npm start`. */
const portOffset = config.portOffset === 0 ? 10_000 : config.portOffset;
/** A folder for each offset: runs side by side end only their own servers. */
const suffix = config.portOffset === 0 ? '' : `-${config.portOffset}`;
const dataDir = resolve(`${config.dataDir}-test${suffix}`);
const cacheDir = config.cacheDir === '' ? defaultCacheDir(process.env) : resolve(config.cacheDir);
const startedAt = Date.now();

/** These have the machine to themselves: they fill it, or the times that they print mean something only so. */
const alone = [
  'tests/tour/',
  'tests/guarantees/batches.test.ts',
  'tests/guarantees/every-channel.test.ts',
  'tests/guarantees/limits.test.ts',
  'tests/guarantees/outages.test.ts',
  'tests/guarantees/priority.test.ts',
  'tests/guarantees/real-input.test.ts',
  'tests/guarantees/recovery-after-kill.test.ts',
  'tests/guarantees/stops.test.ts',
];
/** Most of what these do is wait. They begin first, so that none of them runs on when all others have ended. */
const longest = [
  'tests/guarantees/fuzz.test.ts',
  'tests/guarantees/lost-answers.test.ts',
  'tests/guarantees/provider-outage.test.ts',
  'tests/guarantees/chunks.test.ts',
  'tests/guarantees/order.test.ts',
  'tests/guarantees/redrive.test.ts',
  'jobs/webhooks/',
  'ingest/batches/',
  'store/redrives.test.ts',
  'workflows/',
  'jobs/run-batches.test.ts',
  'channels/email-smtp/conformance.test.ts',
  'channels/webhook-standard/conformance.test.ts',
];
const isIn = (list: readonly string[], file: string) => list.some((each) => file.startsWith(each));
const rank = (file: string) => {
  const place = longest.findIndex((each) => file.startsWith(each));
  return place === -1 ? longest.length : place;
};
const files = filesLike('*.test.ts')
  .filter(
    (file) =>
      only.length === 0 ||
      isIn(
        only.map((each) => each.replace(/^\.\//, '')),
        file,
      ),
  )
  .toSorted((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1));
const isSystemTest = (file: string) => file.startsWith('tests/');

if (files.length === 0) {
  console.error(`no test file matches ${only.join(' ')}`);
  process.exit(2);
}
await resetServers({ dataDir });
rmSync(dataDir, { recursive: true, force: true });
mkdirSync(dataDir, { recursive: true });
const checking = only.length === 0 && !given.includes('--no-check') ? check() : undefined;
const [servers] = await Promise.all([
  startServers({
    dataDir,
    cacheDir,
    portOffset,
    onProgress: (line) => console.log(`# ${line}`),
  }),
  compile(),
]).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
const running = new Set<ChildProcess>();
const stop = async () => {
  for (const child of running) child.kill('SIGTERM');
  // Nobody needs their data any more; an orderly stop would take its time.
  await servers.kill();
  await resetServers({ dataDir });
};
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void stop().then(() => process.exit(130)));

const { rocketmqEndpoint, rocketmqNameServer, temporalAddress, temporalUiUrl } = servers;
const { elasticsearchUrl, mysqlUrl } = servers;
const env = {
  ...process.env,
  MC_TEST_SERVERS: JSON.stringify({
    rocketmqEndpoint,
    rocketmqNameServer,
    temporalAddress,
    temporalUiUrl,
    elasticsearchUrl,
    mysqlUrl,
    dataDir,
    cacheDir,
    portOffset,
  }),
};
const log = createWriteStream(resolve(dataDir, 'tests.log'), { flags: 'a' });
const all: Ran[] = [];
let isGood = true;
/** Runs those of the files that are so. */
const phase = async (concurrency: number, isSo: (file: string) => boolean) => {
  const from = Date.now();
  const those = files.filter(isSo);
  if (those.length === 0) return;
  all.push(...(await runFiles(those, { concurrency, env, log, running, isBig: isBig === 'true' })));
  console.log(`# ${those.length} files in ${Math.round((Date.now() - from) / 1000)} s`);
};
try {
  // Much of what tests of connectors do is wait for a call's time to end.
  await phase(4, (file) => !isSystemTest(file));
  isGood = (await checking) ?? true;
  await phase(3, (file) => isSystemTest(file) && !isIn(alone, file));
  await phase(1, (file) => isIn(alone, file));
} finally {
  await stop();
}
const longFirst = all.toSorted((one, other) => other.seconds - one.seconds);
console.log('# seconds, use of the machine meanwhile, file');
for (const { seconds, busy, file } of longFirst.filter(({ seconds }) => seconds >= 10))
  console.log(
    `# ${seconds.toFixed(0).padStart(4)} ${(100 * busy).toFixed(0).padStart(3)} % ${file}`,
  );
for (const { file, failed } of all) if (failed > 0) console.log(`# failed: ${file}`);
const sum = (of: 'passed' | 'failed') => all.reduce((total, each) => total + each[of], 0);
const failed = sum('failed') + (isGood ? 0 : 1);
console.log(`# ${Math.round((Date.now() - startedAt) / 1000)} s`);
console.log(`${sum('passed')} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** Runs the checks; tells whether all is well. */
async function check(): Promise<boolean> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'tests/check.ts'], {
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}
