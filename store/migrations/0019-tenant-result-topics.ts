import type { Knex } from 'knex';

/** Which tenants have a result topic of their own. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`create table if not exists tenant_result_topics (
    tenant_id varchar(64) not null primary key,
    settings longtext not null,
    version int not null,
    revision bigint not null,
    updated_at datetime(3) not null,
    key tenant_result_topics_revision (revision)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
}
