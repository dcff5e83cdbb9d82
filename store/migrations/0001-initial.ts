import type { Knex } from 'knex';

// JSON is longtext, not json: MySQL's json type re-orders keys, and the order of a template's contents is its preference.
// Names compare by bytes (utf8mb4_bin), which both databases know; their defaults differ.
const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

// DDL commits by itself, so a migration that died half-way runs again: every statement can be repeated.
const statements = [
  `create table if not exists revisions (
    kind varchar(32) not null primary key,
    number bigint not null
  ) ${options}`,
  `insert ignore into revisions (kind, number) values
    ('tenants', 0), ('api-keys', 0), ('templates', 0), ('channel-accounts', 0)`,

  `create table if not exists tenants (
    id varchar(64) not null primary key,
    name varchar(200) not null,
    created_at datetime(3) not null
  ) ${options}`,

  `create table if not exists api_keys (
    id varchar(16) not null primary key,
    tenant_id varchar(64) not null,
    name varchar(200) not null,
    secret_hash char(64) not null,
    revision bigint not null,
    created_at datetime(3) not null,
    revoked_at datetime(3) null,
    key api_keys_tenant (tenant_id, created_at),
    key api_keys_revision (revision)
  ) ${options}`,

  // is_live is 1 or null: a unique key lets null repeat, so a name is free again once its holder is deleted.
  `create table if not exists templates (
    id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    name varchar(64) not null,
    version int not null,
    revision bigint not null,
    created_at datetime(3) not null,
    updated_at datetime(3) not null,
    deleted_at datetime(3) null,
    is_live tinyint null,
    unique key templates_name (tenant_id, name, is_live),
    key templates_revision (revision)
  ) ${options}`,

  // A name's version numbers go on after its template was deleted and made anew: (tenant, name, version) is one text for ever.
  `create table if not exists template_versions (
    tenant_id varchar(64) not null,
    name varchar(64) not null,
    version int not null,
    template_id varchar(32) not null,
    definition longtext not null,
    created_at datetime(3) not null,
    primary key (tenant_id, name, version),
    unique key template_versions_template (template_id, version)
  ) ${options}`,

  `create table if not exists channel_accounts (
    id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    name varchar(64) not null,
    connector varchar(64) not null,
    channel varchar(32) not null,
    settings longtext not null,
    secrets longtext not null,
    rate_per_second double not null,
    is_stopped tinyint not null,
    slot int not null,
    limit_in_force double null,
    version int not null,
    revision bigint not null,
    created_at datetime(3) not null,
    updated_at datetime(3) not null,
    deleted_at datetime(3) null,
    is_live tinyint null,
    unique key channel_accounts_name (tenant_id, name, is_live),
    key channel_accounts_revision (revision)
  ) ${options}`,

  `create table if not exists recipient_counters (
    account_id varchar(32) not null,
    recipient_hash varchar(64) not null,
    entries longtext not null,
    change_number bigint not null,
    purge_at_ms bigint not null,
    primary key (account_id, recipient_hash),
    key recipient_counters_purge (purge_at_ms)
  ) ${options}`,

  `create table if not exists parked_receipts (
    id varchar(40) not null primary key,
    receipt longtext not null,
    tries int not null,
    parked_at datetime(3) not null,
    next_try_at datetime(3) not null,
    key parked_receipts_due (next_try_at),
    key parked_receipts_age (parked_at)
  ) ${options}`,

  `create table if not exists leases (
    name varchar(64) not null primary key,
    holder varchar(128) not null,
    fence bigint not null,
    expires_at datetime(3) not null
  ) ${options}`,
];

/** The first tables. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
