/** Schemathesis (Python): reads an OpenAPI file, calls every operation with good and bad input, and checks the answers. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const version = '4.32.5';
const run = promisify(execFile);

/** What must hold of every answer. */
const checks = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_schema_conformance',
  'response_headers_conformance',
];

let installed: Promise<string> | undefined;

/** Installs it into the cache folder unless it is there. Gives the program. Errors: no Python with venv. */
function install(cacheDir: string): Promise<string> {
  return (installed ??= installInto(cacheDir));
}

async function installInto(cacheDir: string): Promise<string> {
  const home = join(cacheDir, `schemathesis-${version}`);
  const program = (folder: string) => join(folder, 'bin', 'python');
  if (!existsSync(home)) {
    const unfinished = `${home}.${process.pid}`;
    await run('python3', ['-m', 'venv', unfinished]);
    await run(program(unfinished), ['-m', 'pip', 'install', '-q', `schemathesis==${version}`]);
    await rm(home, { recursive: true, force: true });
    await rename(unfinished, home);
  }
  return program(home);
}

export interface FuzzOptions {
  readonly cacheDir: string;
  /** Address of the running service; its document is at /openapi.json. */
  readonly url: string;
  readonly authorization: string;
  /** Calls of each operation and kind of input, at most. */
  readonly examples: number;
  /** Operations that are left out, with the reason beside the call. */
  readonly without?: readonly string[];
}

/** Calls every operation. Gives whether all answers were as the document says, and the report's closing lines. */
export async function fuzz(options: FuzzOptions): Promise<{ isGood: boolean; report: string }> {
  const { cacheDir, url, authorization, examples, without = [] } = options;
  const flags = {
    '--header': `authorization: ${authorization}`,
    '--checks': checks.join(','),
    '--phases': 'examples,coverage,fuzzing',
    '--max-examples': examples,
    '--seed': 1,
    '--warnings': 'off',
    '--request-timeout': 30,
    '--suppress-health-check': 'all',
    // One: CPython 3.11's parser is not safe between its threads.
    '--workers': 1,
  };
  const args = [
    '-m',
    'schemathesis.cli',
    'run',
    `${url}/openapi.json`,
    '--no-shrink',
    '--continue-on-failure',
    '--no-color',
    ...Object.entries(flags).flatMap(([name, value]) => [name, String(value)]),
    ...without.flatMap((operation) => ['--exclude-operation-id', operation]),
  ];
  const program = await install(cacheDir);
  // It leaves a folder where it runs.
  const cwd = await mkdtemp(join(tmpdir(), 'schemathesis-'));
  try {
    const { stdout } = await run(program, args, { cwd, maxBuffer: 64 << 20 });
    return { isGood: true, report: stdout };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: unknown } & Record<string, string>;
    // 1: some answer was not as it should be. Anything else is a fault of the run itself.
    if (code !== 1) throw new Error(`schemathesis: ${stderr}\n${stdout}`, { cause: error });
    return { isGood: false, report: stdout };
  } finally {
    await rm(cwd, { recursive: true });
  }
}
