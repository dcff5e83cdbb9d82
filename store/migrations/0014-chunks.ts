import type { Knex } from 'knex';

/** Chunks whose batch call has begun, and members that were recalled before it. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`create table if not exists chunk_claims (
    id varchar(32) not null primary key,
    begun_at_ms bigint null,
    places text not null,
    touched_at_ms bigint not null,
    key chunk_claims_touched (touched_at_ms)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
  await db.raw(`create table if not exists chunk_recalls (
    chunk_id varchar(32) not null,
    message_id varchar(32) not null,
    created_at_ms bigint not null,
    primary key (chunk_id, message_id),
    key chunk_recalls_created (created_at_ms)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
}
