/** The connection to MySQL or MariaDB, and the one place where driver errors get a meaning. */
import knex, { type Knex } from 'knex';
import { knexSnakeCaseMappers } from 'objection';
import { Problem, problem } from '../contracts/problems.ts';
import { pause, withDeadline } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Validator } from '../platform/validate.ts';
import { migrationSource } from './migrations/index.ts';

export type Database = Knex;
export type Transaction = Knex.Transaction;

/** A call that has no answer after this long counts as "the database does not answer". */
const callDeadlineMs = 10_000;
const migrationWaitSeconds = 120;
const deadlockTries = 5;

/**
 * Opens a pool of at most `connections`; nothing is connected yet. Errors: the URL is not one of mysql:// with a database.
 */
export function openDatabase(mysqlUrl: string, logger: Logger, connections = 10): Database {
  return knex({
    client: 'mysql2',
    connection: {
      ...connectionOf(mysqlUrl),
      charset: 'utf8mb4',
      timezone: 'Z',
      supportBigNumbers: true,
      connectTimeout: 3000,
      enableKeepAlive: true,
    },
    pool: { min: 0, max: connections, idleTimeoutMillis: 30_000, afterCreate: prepareSession },
    acquireConnectionTimeout: 3000,
    log: {
      warn: (message) => logger.warn({ detail: String(message) }, 'mysql.warning'),
      error: (message) => logger.error({ detail: String(message) }, 'mysql.error'),
      debug: () => {},
      deprecate: () => {},
    },
    ...knexSnakeCaseMappers(),
  });
}

function connectionOf(mysqlUrl: string): Record<string, unknown> {
  const url = URL.canParse(mysqlUrl) ? new URL(mysqlUrl) : undefined;
  const database = decodeURIComponent(url?.pathname.slice(1) ?? '');
  if (url === undefined || !/^(mysql|mariadb):$/.test(url.protocol) || database === '')
    throw new Error('MC_MYSQL_URL must look like mysql://user:password@host:3306/database');
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 3306),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database,
    ...(url.searchParams.get('ssl') === 'true' && { ssl: {} }),
  };
}

interface RawConnection {
  query(sql: string, done: (error: Error | null) => void): void;
}

// Read committed: every lock we need is asked for by name, and gap locks would only add deadlocks.
function prepareSession(
  connection: RawConnection,
  done: (error: Error | null, connection: RawConnection) => void,
): void {
  connection.query('set session transaction isolation level read committed', (error) =>
    error === null || error === undefined
      ? connection.query('set session innodb_lock_wait_timeout = 5', (e) => done(e, connection))
      : done(error, connection),
  );
}

/**
 * Brings the tables up to date. Safe when many processes start at once: a server lock, which a dead process cannot keep,
 * lets one through at a time. An older program starts on newer tables.
 */
export async function migrateDatabase(db: Database): Promise<void> {
  await db.transaction(async (holder) => {
    const [[row]] = await holder.raw(
      "select get_lock(left(concat('mc-migrate-', database()), 64), ?) as locked",
      [migrationWaitSeconds],
    );
    if (Number(row.locked) !== 1)
      throw new Error(`Another process has been migrating for ${migrationWaitSeconds} s`);
    try {
      const config = {
        migrationSource,
        disableTransactions: true,
        disableMigrationsListValidation: true,
      };
      // knex's own lock is a row that a killed process leaves behind; under ours it can only be such a leftover.
      if (await db.schema.hasTable('knex_migrations_lock'))
        await db.migrate.forceFreeMigrationsLock(config);
      await db.migrate.latest(config);
    } finally {
      await holder.raw("do release_lock(left(concat('mc-migrate-', database()), 64))");
    }
  });
}

const unreachableCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'HANDSHAKE_NO_SSL_SUPPORT',
  'ER_ACCESS_DENIED_ERROR',
  'ER_BAD_DB_ERROR',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_NO_SUCH_TABLE',
  'ER_CON_COUNT_ERROR',
  'ER_TOO_MANY_USER_CONNECTIONS',
  'ER_SERVER_SHUTDOWN',
  'ER_NORMAL_SHUTDOWN',
  'ER_CONNECTION_KILLED',
  'ER_OPTION_PREVENTS_STATEMENT',
  'ER_READ_ONLY_MODE',
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_LOCK_DEADLOCK',
  'ER_DISK_FULL',
]);

/**
 * Turns "the database cannot serve now" (down, full, read-only during a failover, not migrated yet, a lock held too long)
 * into the problem store-unavailable; everything else stays as it is.
 */
function withMeaning(error: unknown): unknown {
  if (error instanceof Problem) return error;
  const { code, fatal, name, message } = driverError(error);
  const isUnreachable =
    fatal === true ||
    (code !== undefined && unreachableCodes.has(code)) ||
    name === 'KnexTimeoutError' ||
    name === 'TimeoutError' ||
    /took longer than|Unable to acquire a connection|closed state/.test(message ?? '');
  return isUnreachable
    ? problem('store-unavailable', { retryAfterSeconds: 2, cause: error })
    : error;
}

/** Runs one call against the database within the deadline. Errors: store-unavailable, or the call's own. */
export async function reach<T>(call: () => Promise<T>, deadlineMs = callDeadlineMs): Promise<T> {
  try {
    return await withDeadline(call(), deadlineMs, 'a database call');
  } catch (error) {
    throw withMeaning(error);
  }
}

/** The same part with every method run through `reach`. */
export function guarded<P extends { [K in keyof P]: (...args: never[]) => Promise<unknown> }>(
  part: P,
  deadlineMs = callDeadlineMs,
): P {
  const entries = Object.entries(part) as [string, (...args: unknown[]) => Promise<unknown>][];
  return Object.fromEntries(
    entries.map(([name, method]) => [
      name,
      (...args: unknown[]) => reach(() => method(...args), deadlineMs),
    ]),
  ) as unknown as P;
}

/** Runs `work` in a transaction, again from the start when the server ended it to resolve a deadlock. */
export async function inTransaction<T>(
  db: Database,
  work: (trx: Transaction) => Promise<T>,
): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await db.transaction(work);
    } catch (error) {
      if (driverError(error).code !== 'ER_LOCK_DEADLOCK' || tried === deadlockTries) throw error;
      await pause(Math.random() * 20 * tried);
    }
  }
}

/** Whether a write failed because a unique key holds the value already. */
export function isDuplicate(error: unknown): boolean {
  return driverError(error).code === 'ER_DUP_ENTRY';
}

interface DriverError {
  readonly code?: string;
  readonly fatal?: boolean;
  readonly name?: string;
  readonly message?: string;
}

// objection wraps what the driver threw.
function driverError(error: unknown): DriverError {
  return (error as { nativeError?: DriverError }).nativeError ?? (error as DriverError);
}

/** Reads a JSON column. Errors: it is not what the schema says, which is a defect (the value is not told). */
export function readJson<T>(text: string, validator: Validator<T>, what: string): T {
  const value: unknown = JSON.parse(text);
  if (validator.check(value)) return value;
  const [fault] = validator.faults(value);
  throw new Error(
    `${what} in the database is not readable: ${fault?.pointer ?? ''} ${fault?.detail ?? ''}`,
  );
}
