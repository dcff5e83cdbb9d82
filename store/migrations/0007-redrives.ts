import type { Knex } from 'knex';

/** Redrives: failed messages that are sent again, and how far each has come. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`create table if not exists redrives (
    id varchar(32) not null primary key,
    tenant_id varchar(64) null,
    request longtext not null,
    state varchar(16) not null,
    progress longtext not null,
    place longtext not null,
    version int not null,
    created_at datetime(3) not null,
    updated_at datetime(3) not null,
    ended_at datetime(3) null,
    key redrives_state (state, created_at),
    key redrives_created (created_at, id)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
}
