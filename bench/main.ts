/**
 * `npm run bench`: measures the product as built against the real servers, and beside each figure, in the same run, what
 * limits it. `npm run bench -- <name> …` runs some; options: `--help`.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadConfig } from '../platform/config.ts';
import { inheritedEnv } from '../stack/services.ts';
import { defaultCacheDir } from '../stack/servers.ts';
import { isReached } from './bench.ts';
import { benches } from './benches.ts';
import { openPlace } from './place.ts';
import { capacityTables } from './report/capacity.ts';
import { drawChart } from './report/chart.ts';
import { replaceBetween } from './report/documents.ts';
import { machineNow } from './report/machine.ts';
import type { Report } from './report/report.ts';
import { reportTables } from './report/table.ts';
import { benchServers } from './servers.ts';
import { ourProcesses, startSystem } from './system.ts';

const help = `npm run bench -- [names] [options]

${benches.map(({ name, summary }) => `  ${name.padEnd(20)} ${summary}`).join('\n')}

  --count N        messages in each benchmark, instead of its own number
  --rounds N       how often a figure and its limit are taken in turn (default 3)
  --cpu-prof       write CPU profiles of our processes; they cost some speed
  --write          put the tables into README.md and docs/capacity.md; all benchmarks must run, at their own numbers
  --help

MC_TEST_SERVERS, as npm test sets it for its files, uses servers that are running; their figures are not ours alone.`;

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    'cpu-prof': { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const say = (line: string) => console.log(line);
const { MC_TEST_SERVERS: running, ...environment } = process.env;

if (given.help) {
  say(help);
  process.exit(0);
}
const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name));
const messages = wholeNumber('--count', given.count);
const rounds = wholeNumber('--rounds', given.rounds) ?? 3;
if (unknown.length > 0) fail(`There is no benchmark ${unknown.join(', ')}.\n\n${help}`);
if (given.write && (positionals.length > 0 || messages !== undefined || running !== undefined))
  fail('--write takes the figures of a whole run, at its own numbers, on servers of its own.');

const config = loadConfig(environment);
const dataDir = resolve(`${config.dataDir}-bench`);
const outDir = join(dataDir, 'results', new Date().toISOString().slice(0, 19).replaceAll(':', ''));
mkdirSync(outDir, { recursive: true });
for (const step of [
  ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'],
  ['dist/stack/bundle-workflows.js'],
])
  execFileSync(process.execPath, step, { stdio: 'inherit' });

const machine = machineNow(running !== undefined);
const servers = await benchServers({
  dataDir,
  cacheDir: config.cacheDir === '' ? defaultCacheDir(environment) : resolve(config.cacheDir),
  portOffset: config.portOffset === 0 ? 20_000 : config.portOffset,
  ...(running !== undefined && { running }),
  onProgress: (line) => say(`# ${line}`),
}).catch((error: unknown) => fail(error instanceof Error ? error.message : String(error)));
let isStopped = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (isStopped) return;
    isStopped = true;
    // Our own processes end with the channel to us.
    void servers.stop().then(() => process.exit(130));
  });

const results: Report['benches'][number][] = [];
const failed: string[] = [];
const peakBytes: Record<string, number> = {};
const shown = new Set<string>(ourProcesses);
const wanted = benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
for (const bench of wanted) {
  const startedAt = Date.now();
  say(`# ${bench.name}: ${bench.summary}`);
  const place = openPlace({
    servers,
    rounds,
    messages,
    say: (line) => say(`#   ${line}`),
    start: (options) =>
      startSystem(
        {
          servers,
          env: inheritedEnv(environment),
          logDir: join(dataDir, 'logs', 'services'),
          ...(given['cpu-prof'] && { profileDir: join(outDir, 'profiles', bench.name) }),
        },
        options,
      ),
  });
  try {
    const result = await bench.run(place).finally(() => place.close());
    results.push({ name: bench.name, result });
  } catch (error) {
    failed.push(bench.name);
    say(`# ${bench.name} failed: ${error instanceof Error ? error.stack : String(error)}`);
  }
  for (const [name, bytes] of place.peakBytes)
    if (shown.has(name)) peakBytes[name] = Math.max(bytes, peakBytes[name] ?? 0);
  // After each, so that a run that is ended early leaves what it has.
  save({ version: 1, machine, benches: results, peakBytes });
  say(`#   ${Math.round((Date.now() - startedAt) / 1000)} s`);
}
await servers.stop();

const report: Report = { version: 1, machine, benches: results, peakBytes };
const tables = reportTables(report);
say(`\n${tables}\n`);
say(`Results, plots${given['cpu-prof'] ? ' and profiles' : ''}: ${relative('.', outDir)}`);
if (given.write && failed.length === 0) {
  write('README.md', 'table', tables);
  write('docs/capacity.md', 'capacity', capacityTables(report));
  copyFileSync(join(outDir, 'growth.svg'), 'docs/growth.svg');
}
const short = results
  .flatMap(({ result }) => result.figures)
  .filter((each) => isReached(each) === false);
if (short.length > 0) say(`Goals not reached: ${short.map(({ what }) => what).join('; ')}`);
if (failed.length > 0) say(`Failed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);

function save(report: Report): void {
  const file = (name: string, text: string) => writeFileSync(join(outDir, name), text);
  file('results.json', `${JSON.stringify(report, null, 2)}\n`);
  file('tables.md', `${reportTables(report)}\n`);
  const { name, result } = report.benches.at(-1) ?? {};
  if (name !== undefined && result?.series !== undefined)
    file(
      `${name}.svg`,
      drawChart({ title: name, series: result.series, x: result.x ?? 'seconds' }),
    );
}

function write(document: string, name: string, text: string): void {
  writeFileSync(document, replaceBetween(readFileSync(document, 'utf8'), name, text));
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    fail(`${option} must be a whole number, not ${text}.`);
  return value;
}

function fail(sentence: string): never {
  console.error(sentence);
  process.exit(2);
}
