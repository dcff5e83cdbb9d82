/** Channel accounts: one set of credentials at a provider, with its limit. Secrets are sealed here and opened only by `access`. */
import { Model } from 'objection';
import { Type } from 'typebox';
import type { AccountAccess } from '../contracts/channel.ts';
import { problem } from '../contracts/problems.ts';
import type { Account, AccountEdit } from '../contracts/template.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import {
  inTransaction,
  isDuplicate,
  readJson,
  type Database,
  type Transaction,
} from './database.ts';
import { createId } from './ids.ts';
import { nextRevision, type Change } from './revisions.ts';
import type { SealedColumn } from './sealed-columns.ts';
import { chooseSlot } from './slots.ts';
import type { PageRequest } from './tenants.ts';

/** An account for a cache. `open` opens the secrets; errors: the key they were sealed with is gone. */
export interface KnownAccount {
  readonly account: Account;
  readonly isDeleted: boolean;
  readonly open: () => AccountAccess;
}

export interface ChannelAccounts {
  /** `channel` is the connector's. Without secrets an empty object is kept. Errors: name-taken. */
  create(account: { tenantId: string; channel: string; edit: AccountEdit }): Promise<Account>;
  /** Without `secrets` the stored ones stay. Errors: not-found, version-conflict, name-taken, validation-failed (connector). */
  update(id: string, expectedVersion: number, edit: AccountEdit): Promise<Account>;
  /** Errors: not-found, version-conflict. */
  remove(id: string, expectedVersion: number): Promise<Account>;
  get(id: string): Promise<Account | undefined>;
  /** By name; `name` leaves only that one. */
  list(tenantId: string, page: PageRequest & { name?: string | undefined }): Promise<Account[]>;
  /** Every live account of every tenant. */
  listAll(): Promise<Account[]>;
  /** Settings and opened secrets of a live account. */
  access(id: string): Promise<AccountAccess | undefined>;
  /** Records what the Temporal server enforces now; not an edit, so the version stays. */
  setLimitInForce(id: string, ratePerSecond: number | null): Promise<void>;
  find(id: string): Promise<KnownAccount | undefined>;
  changedSince(revision: number, limit: number): Promise<Change<KnownAccount>[]>;
}

class AccountRow extends Model {
  static override tableName = 'channel_accounts';
  declare id: string;
  declare tenantId: string;
  declare name: string;
  declare connector: string;
  declare channel: string;
  declare settings: string;
  declare secrets: string;
  declare ratePerSecond: number;
  declare weight: number;
  declare isStopped: 0 | 1;
  declare isSandbox: 0 | 1;
  declare slot: number;
  declare limitInForce: number | null;
  declare version: number;
  declare revision: number;
  declare createdAt: Date;
  declare updatedAt: Date;
  declare deletedAt: Date | null;
  declare isLive: 1 | null;
}
type AccountColumns = Omit<AccountRow, keyof Model>;

const jsonValidator = createValidator(Type.Unknown());

export function createChannelAccounts(
  db: Database,
  { sealer, slots }: { sealer: Sealer; slots: number },
): ChannelAccounts {
  const seal = (id: string, secrets: unknown) =>
    sealer.sealEnvelope(JSON.stringify(secrets ?? {}), sealContext(id));

  const known = (row: AccountColumns): KnownAccount => ({
    account: toAccount(row),
    isDeleted: row.deletedAt !== null,
    open: () => ({
      id: row.id,
      tenantId: row.tenantId,
      settings: readJson(row.settings, jsonValidator, `settings of ${row.id}`),
      secrets: JSON.parse(sealer.open(row.secrets, sealContext(row.id)).toString('utf8')),
    }),
  });
  const live = () => AccountRow.query(db).where('isLive', 1);

  return {
    create: ({ tenantId, channel, edit }) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'channel-accounts');
        const id = createId('acc');
        const now = new Date();
        const row: AccountColumns = {
          id,
          tenantId,
          channel,
          ...editedColumns(edit),
          secrets: seal(id, edit.secrets),
          slot: await chooseSlot(trx, slots),
          limitInForce: null,
          version: 1,
          revision,
          createdAt: now,
          updatedAt: now,
          deletedAt: null,
          isLive: 1,
        };
        await AccountRow.query(trx)
          .insert(row)
          .catch((error: unknown) => throwNameTaken(error, edit.name));
        return toAccount(row);
      }),

    update: (id, expectedVersion, edit) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'channel-accounts');
        const row = await liveRow(trx, id, expectedVersion);
        if (edit.connector !== row.connector)
          throw problem('validation-failed', {
            detail: `This account speaks ${row.connector}; make another account for another connector.`,
            errors: [{ pointer: '/connector', detail: `cannot change, it is "${row.connector}"` }],
          });
        const next = {
          ...editedColumns(edit),
          ...(edit.secrets !== undefined && { secrets: seal(id, edit.secrets) }),
          version: row.version + 1,
          revision,
          updatedAt: new Date(),
        };
        await AccountRow.query(trx)
          .findById(id)
          .patch(next)
          .catch((error: unknown) => throwNameTaken(error, edit.name));
        return toAccount(Object.assign(row, next));
      }),

    remove: (id, expectedVersion) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'channel-accounts');
        const row = await liveRow(trx, id, expectedVersion);
        await AccountRow.query(trx)
          .findById(id)
          .patch({ deletedAt: new Date(), isLive: null, revision });
        return toAccount(row);
      }),

    get: async (id) => {
      const row = await live().findById(id);
      return row === undefined ? undefined : toAccount(row);
    },
    list: async (tenantId, { after, limit, name }) => {
      const query = live().where({ tenantId }).orderBy('name').limit(limit);
      if (after !== undefined) query.where('name', '>', after);
      if (name !== undefined) query.where({ name });
      return (await query).map(toAccount);
    },
    listAll: async () => (await live().orderBy(['tenantId', 'name'])).map(toAccount),
    access: async (id) => {
      const row = await live().findById(id);
      return row === undefined ? undefined : known(row).open();
    },
    setLimitInForce: (id, ratePerSecond) =>
      inTransaction(db, async (trx) => {
        const row = await AccountRow.query(trx).findById(id);
        if (row === undefined || row.limitInForce === ratePerSecond) return;
        const revision = await nextRevision(trx, 'channel-accounts');
        await AccountRow.query(trx).findById(id).patch({ limitInForce: ratePerSecond, revision });
      }),
    find: async (id) => {
      const row = await AccountRow.query(db).findById(id);
      return row === undefined ? undefined : known(row);
    },
    changedSince: async (revision, limit) => {
      const rows = await AccountRow.query(db)
        .where('revision', '>', revision)
        .orderBy('revision')
        .limit(limit);
      return rows.map((row) => ({
        id: row.id,
        revision: row.revision,
        read: () => known(row),
      }));
    },
  };
}

/** Binds sealed secrets to their account, so that a row's secrets cannot be moved to another. */
function sealContext(id: string): string {
  return `account:${id}`;
}

export const accountSecrets: SealedColumn<{ id: string }> = {
  what: 'secrets of channel accounts',
  table: 'channelAccounts',
  column: 'secrets',
  keys: ['id'],
  form: 'envelope',
  context: ({ id }) => sealContext(id),
};

function editedColumns(edit: AccountEdit) {
  return {
    name: edit.name,
    connector: edit.connector,
    settings: JSON.stringify(edit.settings),
    ratePerSecond: edit.ratePerSecond,
    weight: edit.weight ?? 1,
    isStopped: edit.isStopped === true ? (1 as const) : (0 as const),
    isSandbox: edit.isSandbox === true ? (1 as const) : (0 as const),
  };
}

async function liveRow(trx: Transaction, id: string, expectedVersion: number): Promise<AccountRow> {
  const row = await AccountRow.query(trx).findById(id).where('isLive', 1).forUpdate();
  if (row === undefined)
    throw problem('not-found', { detail: `There is no channel account with the id "${id}".` });
  if (row.version !== expectedVersion)
    throw problem('version-conflict', {
      detail: `You read version ${expectedVersion}; it is version ${row.version} now.`,
      errors: [{ pointer: 'header/if-match', detail: `is not the current "${row.version}"` }],
    });
  return row;
}

function throwNameTaken(error: unknown, name: string): never {
  if (!isDuplicate(error)) throw error;
  throw problem('name-taken', {
    detail: `This tenant has a channel account "${name}" already.`,
    errors: [{ pointer: '/name', detail: 'is in use' }],
  });
}

function toAccount(row: AccountColumns): Account {
  return {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    connector: row.connector,
    channel: row.channel,
    settings: readJson(row.settings, jsonValidator, `settings of ${row.id}`),
    ratePerSecond: row.ratePerSecond,
    weight: row.weight,
    isStopped: row.isStopped === 1,
    isSandbox: row.isSandbox === 1,
    slot: row.slot,
    limitInForce: row.limitInForce,
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}
