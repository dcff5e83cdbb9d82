/** MariaDB, standing in for MySQL 8: the SQL of this project runs on both. */
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { createServerProcess, logTail, type RunningServer } from './server-process.ts';
import type { ServerSite } from './server-site.ts';
import { runProgram } from './tools.ts';

/** Database, user and password of the local server. */
export const mariadbLogin = { database: 'message_center', user: 'mc', password: 'mc' } as const;

/** Creates the server on `programPath`, the unpacked package. */
export function createMariadb(site: ServerSite, programPath: string): RunningServer {
  const port = site.ports.mysql;
  const home = join(site.dataDir, 'mariadb');
  const dataDir = join(home, 'data');
  const initFile = join(home, 'init.sql');
  const logFile = join(site.dataDir, 'logs', 'mariadb.log');

  const server = createServerProcess(
    {
      title: 'MariaDB',
      command: join(programPath, 'bin', 'mariadbd'),
      args: [
        '--no-defaults',
        ...userArgs(),
        `--basedir=${programPath}`,
        `--datadir=${dataDir}`,
        `--init-file=${initFile}`,
        // Relative to the data folder: the full path may exceed the 107 characters that a socket may have.
        '--socket=mariadb.sock',
        '--pid-file=mariadb.pid',
        '--bind-address=127.0.0.1',
        `--port=${port}`,
        '--skip-name-resolve',
        '--character-set-server=utf8mb4',
        '--collation-server=utf8mb4_unicode_ci',
        '--default-time-zone=+00:00',
        // The modes of MySQL 8, so that what one refuses the other does too.
        '--sql-mode=ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
        '--max-connections=300',
        '--innodb-flush-log-at-trx-commit=1',
        '--innodb-buffer-pool-size=128M',
        '--innodb-log-file-size=64M',
        '--key-buffer-size=1M',
        '--aria-pagecache-buffer-size=4M',
        '--performance-schema=OFF',
        '--skip-log-bin',
        // With it, each start makes a key pair, which takes seconds; loopback needs none.
        '--skip-ssl',
      ],
      workDir: home,
      ports: [port],
      logFile,
      noteFile: join(site.dataDir, 'run', 'mariadb.json'),
      marker: `--datadir=${dataDir}`,
      isReady: () => answersSql(port),
      readyTimeoutMs: 60_000,
      stopTimeoutMs: 20_000,
    },
    site.onProgress,
  );

  async function createDataFolder(): Promise<void> {
    if (existsSync(dataDir)) return;
    const unfinished = `${dataDir}.new`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    const result = await runProgram('sh', [
      join(programPath, 'scripts', 'mariadb-install-db'),
      '--no-defaults',
      ...userArgs(),
      `--basedir=${programPath}`,
      `--datadir=${unfinished}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--skip-name-resolve',
    ]);
    mkdirSync(join(site.dataDir, 'logs'), { recursive: true });
    writeFileSync(logFile, `${result.stdout}\n${result.stderr}\n`, { flag: 'a' });
    if (result.code !== 0)
      throw new Error(
        `MariaDB's data folder could not be made (code ${result.code}). ${logTail(logFile, 0)}`,
      );
    renameSync(unfinished, dataDir);
  }

  return {
    get pid() {
      return server.pid;
    },
    prepare: server.prepare,
    start: async () => {
      mkdirSync(home, { recursive: true });
      writeFileSync(initFile, initStatements.join('\n'));
      await createDataFolder();
      await server.start();
    },
    stop: server.stop,
    kill: server.kill,
  };
}

const userArgs = () => (process.getuid?.() === 0 ? ['--user=root'] : []);

const { database, user, password } = mariadbLogin;

/** Run at every start; one statement a line. Tests may make databases of their own below the same prefix. */
const initStatements = [
  `CREATE DATABASE IF NOT EXISTS ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;`,
  `CREATE USER IF NOT EXISTS '${user}'@'%' IDENTIFIED BY '${password}';`,
  `GRANT ALL PRIVILEGES ON \`${database.replaceAll('_', '\\_')}%\`.* TO '${user}'@'%';`,
  '',
];

async function answersSql(port: number): Promise<boolean> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port,
    user,
    password,
    database,
    connectTimeout: 2000,
  });
  await connection.query('SELECT 1');
  await connection.end();
  return true;
}
