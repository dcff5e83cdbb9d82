/** The programs of this machine that the local servers need: Java, Maven, Python with pip. */
import { spawn } from 'node:child_process';

export interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Errors: only when it cannot be started, with `code` ENOENT when it is not there. */
export function runProgram(command: string, args: readonly string[]): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.once('error', reject);
    child.once('close', (code) =>
      resolve({
        code: code ?? -1,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
      }),
    );
  });
}

async function tryProgram(
  command: string,
  args: readonly string[],
): Promise<ProgramResult | undefined> {
  try {
    return await runProgram(command, args);
  } catch {
    return undefined;
  }
}

const oldestJava = 17;

/**
 * The home folder of the Java on the PATH.
 * Errors: no Java, or one older than 17; `wantedBy` is named in the sentence.
 */
export async function requireJava(wantedBy: string, command = 'java'): Promise<string> {
  const result = await tryProgram(command, ['-XshowSettings:properties', '-version']);
  const text = result?.code === 0 ? result.stderr : '';
  const home = /java\.home = (.+)/.exec(text)?.[1]?.trim();
  const version = Number(/java\.specification\.version = (\d+)/.exec(text)?.[1]);
  if (home === undefined || Number.isNaN(version))
    throw new Error(
      `Java ${oldestJava} or newer is needed for ${wantedBy} and "${command}" does not run; install a JRE (Debian: apt-get install openjdk-17-jre-headless).`,
    );
  if (version < oldestJava)
    throw new Error(
      `${wantedBy} needs Java ${oldestJava} or newer and "${command}" is Java ${version}.`,
    );
  return home;
}

/** Errors: no Maven on the PATH. */
export async function requireMaven(wantedBy: string, command = 'mvn'): Promise<void> {
  if ((await tryProgram(command, ['--version']))?.code === 0) return;
  throw new Error(
    `Maven is needed to fetch ${wantedBy} and "${command}" does not run; install it (Debian: apt-get install maven).`,
  );
}

/** Errors: no Python 3 on the PATH, or one without pip. */
export async function requirePip(wantedBy: string, command = 'python3'): Promise<void> {
  if ((await tryProgram(command, ['--version']))?.code !== 0)
    throw new Error(
      `Python 3 is needed to fetch ${wantedBy} and "${command}" does not run; install it (Debian: apt-get install python3 python3-pip).`,
    );
  if ((await tryProgram(command, ['-m', 'pip', '--version']))?.code !== 0)
    throw new Error(
      `pip is needed to fetch ${wantedBy} and "${command} -m pip" does not run; install it (Debian: apt-get install python3-pip).`,
    );
}

/** Errors: a machine for which the pinned server packages have no binaries. */
export function requireLinuxOnX64(platform = process.platform, arch = process.arch): void {
  if (platform === 'linux' && arch === 'x64') return;
  throw new Error(
    `The local servers run on Linux on x64 only and this is ${platform} on ${arch}; use docker-compose.yml and set MC_EXTERNAL_SERVERS=true.`,
  );
}
