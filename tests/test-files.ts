/** Runs test files as they are compiled into dist/, each in a process of its own, and counts their tests. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, symlinkSync, type WriteStream } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

/** A file that takes longer hangs; three times as long with large counts. */
const timeoutMs = 900_000;

/** What git knows of these, and what it would take. */
export function filesLike(...patterns: string[]): string[] {
  return execFileSync('git', ['ls-files', '-co', '--exclude-standard', ...patterns], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((file) => file !== '' && existsSync(file));
}

/** Compiles all sources into dist/ and puts beside them what they read. A process starts in a third of tsx's time. */
export async function compile(): Promise<void> {
  for (const args of [
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json'],
    ['dist/stack/bundle-workflows.js'],
  ]) {
    const step = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const [code] = (await once(step, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`${args.join(' ')} failed`);
  }
  for (const file of filesLike('*/*')) {
    const place = join('dist', file);
    if (file.endsWith('.ts') || existsSync(place)) continue;
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(resolve(file), place);
  }
}

export interface Ran {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  /** How much of the machine was in use meanwhile, by whomever, 0 to 1. */
  readonly busy: number;
}

export interface RunOptions {
  /** How many at a time. */
  readonly concurrency: number;
  readonly env: NodeJS.ProcessEnv;
  /** Gets every line. */
  readonly log: WriteStream;
  /** Whether the tests were asked for their large counts. */
  readonly isBig: boolean;
  /** Holds what is running. */
  readonly running: Set<ChildProcess>;
}

/** Runs them in this order; what a file says is shown when it has ended, or at once where only one runs at a time. */
export async function runFiles(files: readonly string[], options: RunOptions): Promise<Ran[]> {
  const waiting = [...files];
  const all: Ran[] = [];
  const next = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
      all.push(await runFile(file, options));
  };
  await Promise.all(Array.from({ length: options.concurrency }, next));
  return all;
}

async function runFile(file: string, options: RunOptions): Promise<Ran> {
  const { concurrency, env, log, running, isBig } = options;
  const startedAt = Date.now();
  const cpuBefore = cpuTimes();
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', '--test-reporter=spec', `dist/${file.replace(/ts$/, 'js')}`],
    { stdio: ['ignore', 'pipe', 'pipe'], env },
  );
  running.add(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), isBig ? 3 * timeoutMs : timeoutMs);
  const counts: Record<string, number> = {};
  const lines: string[] = [];
  const show = (line: string) => (concurrency === 1 ? console.log(line) : lines.push(line));
  show(`# ${file}`);
  const read = async (output: NodeJS.ReadableStream) => {
    for await (const line of createInterface({ input: output })) {
      log.write(`${line}\n`);
      const [, what = '', number] =
        /^ℹ (pass|fail|cancelled|tests|suites|skipped|todo|duration_ms) (\d+)/.exec(line) ?? [];
      if (what === '') show(line);
      else counts[what] = Number(number);
    }
  };
  const [[code]] = await Promise.all([
    once(child, 'close'),
    read(child.stdout),
    read(child.stderr),
  ]);
  clearTimeout(timer);
  running.delete(child);
  if (concurrency > 1) console.log(lines.join('\n'));
  const { pass: passed = 0, fail = 0, cancelled = 0 } = counts;
  const told = fail + cancelled;
  const failed = told === 0 && (code !== 0 || !('pass' in counts)) ? 1 : told;
  const [busyMs, allMs] = cpuTimes().map((ms, index) => ms - (cpuBefore[index] ?? 0));
  const seconds = (Date.now() - startedAt) / 1000;
  return { file, passed, failed, seconds, busy: (busyMs ?? 0) / (allMs ?? 1) };
}

/** Milliseconds that the machine's processors have worked, and in all. */
function cpuTimes(): [busy: number, all: number] {
  const times = cpus().map(({ times }) => times);
  const all = times.flatMap((each) => Object.values(each)).reduce((sum, ms) => sum + ms, 0);
  return [all - times.reduce((sum, { idle }) => sum + idle, 0), all];
}
