import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  `create table if not exists people (
    tenant_id varchar(64) not null,
    user_hash varchar(64) not null,
    sealed longtext not null,
    updated_at datetime(3) not null,
    primary key (tenant_id, user_hash)
  ) ${options}`,

  // channel is '*' for all of them.
  `create table if not exists suppressions (
    tenant_id varchar(64) not null,
    recipient_hash varchar(64) not null,
    channel varchar(32) not null,
    reason varchar(64) not null,
    created_at datetime(3) not null,
    primary key (tenant_id, recipient_hash, channel)
  ) ${options}`,

  `create table if not exists tenant_policies (
    tenant_id varchar(64) not null primary key,
    policy longtext not null,
    version int not null,
    revision bigint not null,
    updated_at datetime(3) not null,
    key tenant_policies_revision (revision)
  ) ${options}`,
];

/** Who people are, who must not be written to, and when and how often a tenant writes. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
