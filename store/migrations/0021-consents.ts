import type { Knex } from 'knex';

/** What people have agreed to and taken back. Rows are only added; an erasure empties `sealed`. */
export async function up(db: Knex): Promise<void> {
  // channel is '*' for all of them. sealed: the recipient and the evidence.
  await db.raw(`create table if not exists consents (
    number bigint not null auto_increment primary key,
    id varchar(40) not null,
    tenant_id varchar(64) not null,
    recipient_hash varchar(64) not null,
    purpose varchar(16) not null,
    channel varchar(32) not null,
    action varchar(16) not null,
    occurred_at datetime(3) not null,
    recorded_at datetime(3) not null,
    source varchar(64) not null,
    text_version varchar(64) null,
    locale varchar(35) null,
    sealed longtext not null,
    unique key consents_id (id),
    key consents_tenant (tenant_id, number),
    key consents_newest (tenant_id, recipient_hash, purpose, channel, occurred_at)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
}
