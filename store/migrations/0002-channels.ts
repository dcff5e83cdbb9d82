import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  // token_hash tells whether a token that failed is still the one that is here.
  `create table if not exists provider_tokens (
    account_id varchar(32) not null,
    name varchar(64) not null,
    sealed longtext null,
    token_hash char(64) null,
    renew_at_ms bigint not null,
    expires_at_ms bigint not null,
    leased_until datetime(3) null,
    primary key (account_id, name),
    key provider_tokens_expiry (expires_at_ms)
  ) ${options}`,

  // A device belongs to who registered it last: the key has no user in it.
  `create table if not exists devices (
    account_id varchar(32) not null,
    token_hash char(64) not null,
    id varchar(40) not null,
    tenant_id varchar(64) not null,
    user_hash varchar(64) not null,
    sealed longtext not null,
    registered_at datetime(3) not null,
    primary key (account_id, token_hash),
    key devices_user (tenant_id, user_hash, account_id)
  ) ${options}`,

  `create table if not exists opt_outs (
    tenant_id varchar(64) not null,
    channel varchar(32) not null,
    recipient_hash varchar(64) not null,
    is_out tinyint not null,
    how varchar(32) not null,
    occurred_at datetime(3) not null,
    primary key (tenant_id, channel, recipient_hash)
  ) ${options}`,
];

/** What channels share at run time: provider tokens, devices for push, people who want no more. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
