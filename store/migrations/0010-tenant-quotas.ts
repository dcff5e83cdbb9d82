import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  `create table if not exists tenant_quotas (
    tenant_id varchar(64) not null primary key,
    quotas longtext not null,
    version int not null,
    revision bigint not null,
    updated_at datetime(3) not null,
    key tenant_quotas_revision (revision)
  ) ${options}`,
  // day is text (2026-11-21): a date would be read in the connection's time zone.
  `create table if not exists tenant_day_counts (
    tenant_id varchar(64) not null,
    counter varchar(16) not null,
    day char(10) not null,
    reserved bigint not null,
    primary key (tenant_id, counter, day),
    key tenant_day_counts_day (day)
  ) ${options}`,
  `create table if not exists ingest_members (
    instance_id varchar(64) not null primary key,
    leased_until datetime(3) not null
  ) ${options}`,
  `create table if not exists account_verifications (
    account_id varchar(32) not null primary key,
    verified_at datetime(3) not null,
    result longtext not null
  ) ${options}`,
];

/** What a key may do and until when; null: everything, for ever, never used. */
const keyColumns = {
  scopes: 'varchar(255) null',
  expires_at: 'datetime(3) null',
  last_used_at: 'datetime(3) null',
};

/** Quotas of tenants, scopes and ends of keys, the last verify of accounts. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
  for (const [column, type] of Object.entries(keyColumns))
    if (!(await db.schema.hasColumn('api_keys', column)))
      await db.raw(`alter table api_keys add column ${column} ${type}`);
}
