import type { Knex } from 'knex';

/** Channel accounts that are at fault: their queues are held until the provider takes them again. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`create table if not exists account_circuits (
    account_id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    reason_code varchar(64) not null,
    detail varchar(600) not null,
    opened_at datetime(3) not null,
    next_try_at datetime(3) not null,
    tries int not null,
    closed_at datetime(3) null,
    key account_circuits_open (closed_at, next_try_at)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
}
