/**
 * `npm test`: provisions the real servers, checks the code, runs every test against them, and closes with
 * `N passed, N failed`. Arguments are files or folders to run only those; `--no-check` leaves the checks out.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdirSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { resolve } from 'node:path';
import { loadConfig } from '../platform/config.ts';
import { defaultCacheDir, resetServers, startServers } from '../stack/servers.ts';

const given = process.argv.slice(2);
const only = given.filter((argument) => !argument.startsWith('--'));
const config = loadConfig(process.env);
/** A stack of its own beside the one of `npm start`. */
const portOffset = config.portOffset === 0 ? 10_000 : config.portOffset;
/** A folder for each offset: runs side by side end only their own servers. */
const suffix = config.portOffset === 0 ? '' : `-${config.portOffset}`;
const dataDir = resolve(`${config.dataDir}-test${suffix}`);
const startedAt = Date.now();

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.test.ts'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter(
    (file) =>
      file !== '' &&
      (only.length === 0 || only.some((wanted) => file.startsWith(wanted.replace(/^\.\//, '')))),
  )
  .toSorted();
// What starts our processes has the machine to itself, so that its times mean something; the rest shares it.
const isAlone = (file: string) => file.startsWith('tests/');
let passed = 0;
let failed = 0;

if (files.length === 0) {
  console.error(`no test file matches ${only.join(' ')}`);
  process.exit(2);
}
if (only.length === 0 && !given.includes('--no-check') && (await run('tests/check.ts', [])) !== 0)
  failed++;
await resetServers({ dataDir });
rmSync(dataDir, { recursive: true, force: true });
mkdirSync(dataDir, { recursive: true });
const servers = await startServers({
  dataDir,
  cacheDir: config.cacheDir === '' ? defaultCacheDir(process.env) : resolve(config.cacheDir),
  portOffset,
  onProgress: (line) => console.log(`# ${line}`),
}).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
let running: ChildProcess | undefined;
const stop = async () => {
  running?.kill('SIGTERM');
  // Nobody needs their data any more; an orderly stop would take its time.
  await servers.kill();
  await resetServers({ dataDir });
};
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => void stop().then(() => process.exit(130)));

const env = {
  MC_TEST_SERVERS: JSON.stringify({
    rocketmqEndpoint: servers.rocketmqEndpoint,
    rocketmqNameServer: servers.rocketmqNameServer,
    temporalAddress: servers.temporalAddress,
    temporalUiUrl: servers.temporalUiUrl,
    elasticsearchUrl: servers.elasticsearchUrl,
    mysqlUrl: servers.mysqlUrl,
    dataDir,
    cacheDir: config.cacheDir === '' ? defaultCacheDir(process.env) : resolve(config.cacheDir),
    portOffset,
  }),
};
try {
  await runTests(
    files.filter((file) => !isAlone(file)),
    2,
  );
  await runTests(files.filter(isAlone), 1);
} finally {
  await stop();
}
console.log(`# ${Math.round((Date.now() - startedAt) / 1000)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

async function run(script: string, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...args], { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** Runs files with node's test runner, shows its report, and counts the tests from its own closing lines. */
async function runTests(wanted: readonly string[], concurrency: number): Promise<void> {
  if (wanted.length === 0) return;
  const child = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      '--test',
      `--test-concurrency=${concurrency}`,
      '--test-reporter=spec',
      '--test-timeout=900000',
      ...wanted,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } },
  );
  running = child;
  const log = createWriteStream(resolve(dataDir, 'tests.log'), { flags: 'a' });
  let counted = false;
  for await (const line of createInterface({ input: child.stdout })) {
    log.write(`${line}\n`);
    const [, what, number] = /^ℹ (pass|fail|cancelled) (\d+)$/.exec(line) ?? [];
    if (what === 'pass') passed += Number(number);
    else if (what !== undefined) failed += Number(number);
    else if (!/^ℹ (tests|suites|skipped|todo) /.test(line)) console.log(line);
    counted ||= what !== undefined;
  }
  const code = child.exitCode ?? ((await once(child, 'exit')) as [number | null])[0];
  if (!counted || (code !== 0 && failed === 0)) failed++;
}
