import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  // swept_at: what a recall found waiting has ended, or what a pause held was told that it is over.
  `create table if not exists stops (
    id varchar(32) not null primary key,
    action varchar(16) not null,
    scope_kind varchar(16) not null,
    scope_value varchar(64) not null,
    tenant_id varchar(64) not null,
    accepted_before datetime(3) null,
    reason varchar(200) not null,
    created_at datetime(3) not null,
    ended_at datetime(3) null,
    swept_at datetime(3) null,
    revision bigint not null,
    key stops_revision (revision),
    key stops_scope (tenant_id, scope_kind, scope_value),
    key stops_unswept (swept_at, created_at),
    key stops_age (created_at)
  ) ${options}`,

  // Processes that start or send. One whose lease has run out may send nothing before it has read the stops again.
  `create table if not exists stop_members (
    instance_id varchar(128) not null primary key,
    role varchar(16) not null,
    confirmed bigint not null,
    leased_until datetime(3) not null,
    key stop_members_lease (leased_until)
  ) ${options}`,

  `insert ignore into revisions (kind, number) values ('stops', 0)`,
];

/** Recall and pause by batch, template, tenant and account, and who has to know of it. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
