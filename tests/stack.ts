/** The servers that `npm test` started, and what of them a test file has for itself. */
import { randomBytes } from 'node:crypto';
import { after } from 'node:test';
import mysql from 'mysql2/promise';

export interface TestServers {
  readonly rocketmqEndpoint: string;
  readonly rocketmqNameServer: string;
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly elasticsearchUrl: string;
  readonly mysqlUrl: string;
  readonly dataDir: string;
  readonly cacheDir: string;
  readonly portOffset: number;
}

/** Addresses of the running servers. Errors: the tests were not started by `npm test`. */
export function testServers(): TestServers {
  const given = process.env['MC_TEST_SERVERS'];
  if (given === undefined)
    throw new Error('These tests need the real servers: run them with `npm test -- <file>`');
  return JSON.parse(given) as TestServers;
}

/** A prefix that no other test file uses. */
export function freshPrefix(): string {
  return `t${randomBytes(4).toString('hex')}`;
}

/** URL of an empty database, dropped after the file's tests. */
export async function testMysqlUrl(): Promise<string> {
  const { url, drop } = await createDatabase();
  after(drop);
  return url;
}

/** An empty database on the server at `mysqlUrl`; `drop` it once nobody uses it any more. */
export async function createDatabase(
  mysqlUrl = testServers().mysqlUrl,
): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `message_center_${randomBytes(4).toString('hex')}`;
  const url = new URL(mysqlUrl);
  const connection = await mysql.createConnection(mysqlUrl);
  await connection.query(`create database ${name} character set utf8mb4`);
  await connection.end();
  url.pathname = `/${name}`;
  const drop = async () => {
    const again = await mysql.createConnection(mysqlUrl);
    await again.query(`drop database if exists ${name}`);
    await again.end();
  };
  return { url: url.toString(), drop };
}

/** URL of the Elasticsearch server; use a fresh prefix for indices. */
export async function testElasticsearchUrl(): Promise<string> {
  return testServers().elasticsearchUrl;
}

/** Waits until `look` gives a value. Errors: not within `timeoutMs`; the message tells what was seen last. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  {
    timeoutMs = 60_000,
    everyMs = 100,
    seen,
  }: { timeoutMs?: number; everyMs?: number; seen?: () => unknown } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      const detail =
        seen === undefined
          ? last instanceof Error
            ? last.message
            : 'nothing'
          : JSON.stringify(await seen());
      throw new Error(`not within ${timeoutMs} ms: ${what}; seen last: ${detail}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
