import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  // Keyed hashes only: of the addresses, and of the inbox. next_look_at is null once everything has forgotten by age.
  `create table if not exists erasures (
    id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    recipient_hashes longtext not null,
    inbox_owner char(32) null,
    messages int not null,
    created_at datetime(3) not null,
    done_at datetime(3) null,
    gone_by datetime(3) not null,
    next_look_at datetime(3) null,
    key erasures_due (next_look_at),
    key erasures_tenant (tenant_id, created_at)
  ) ${options}`,
];

/** People who asked to be forgotten. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
