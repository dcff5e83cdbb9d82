import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  // sealed: the key under the master key; empty once it is destroyed. The row is left for a while, so that every process learns it.
  `create table if not exists day_keys (
    id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    day char(10) not null,
    sealed varchar(255) not null,
    destroy_after datetime(3) not null,
    destroyed_at datetime(3) null,
    revision bigint not null,
    unique key day_keys_day (tenant_id, day),
    key day_keys_due (destroyed_at, destroy_after),
    key day_keys_revision (revision)
  ) ${options}`,

  `insert ignore into revisions (kind, number) values ('day-keys', 0)`,
];

/** Data keys of tenants, one for each day. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
