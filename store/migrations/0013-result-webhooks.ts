import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

const statements = [
  // secrets: sealed. failing_since: nothing has succeeded since then.
  `create table if not exists webhook_endpoints (
    id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    url varchar(500) not null,
    statuses varchar(500) not null,
    description varchar(200) null,
    secrets longtext not null,
    previous_secret_until datetime(3) null,
    disabled_code varchar(32) null,
    disabled_detail varchar(300) null,
    disabled_at datetime(3) null,
    failing_since datetime(3) null,
    version int not null,
    revision bigint not null,
    created_at datetime(3) not null,
    updated_at datetime(3) not null,
    deleted_at datetime(3) null,
    key webhook_endpoints_tenant (tenant_id, id),
    key webhook_endpoints_revision (revision)
  ) ${options}`,

  // Events that wait for another try, never those that arrive at once. body: sealed.
  `create table if not exists webhook_deliveries (
    endpoint_id varchar(32) not null,
    event_id varchar(300) not null,
    type varchar(64) not null,
    message_id varchar(256) null,
    body longtext not null,
    tries int not null,
    since datetime(3) not null,
    next_try_at datetime(3) not null,
    primary key (endpoint_id, event_id),
    key webhook_deliveries_due (endpoint_id, next_try_at),
    key webhook_deliveries_age (since)
  ) ${options}`,

  `create table if not exists webhook_attempts (
    id bigint not null auto_increment primary key,
    endpoint_id varchar(32) not null,
    attempt longtext not null,
    started_at datetime(3) not null,
    key webhook_attempts_endpoint (endpoint_id, id),
    key webhook_attempts_age (started_at)
  ) ${options}`,

  `insert ignore into revisions (kind, number) values ('webhook-endpoints', 0)`,
];

/** Result webhooks: endpoints, what waits for them, and what was tried. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
