import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

// An owner is a keyed hash of tenant and user. Its row is locked by whoever changes the inbox, so that an inbox's numbers
// have no gaps and become visible in their order. The row outlives its items: numbers never start again.
const statements = [
  `create table if not exists inbox_owners (
    owner char(32) not null primary key,
    tenant_id varchar(64) not null,
    last_number bigint not null,
    unread int not null
  ) ${options}`,

  // Content is sealed; of a recalled item only the row stays, so that its message is not put again.
  `create table if not exists inbox_items (
    owner char(32) not null,
    number bigint not null,
    id varchar(64) not null,
    account_id varchar(32) not null,
    content longtext not null,
    folder varchar(16) not null,
    created_at datetime(3) not null,
    read_at datetime(3) null,
    first_read_at datetime(3) null,
    archived_at datetime(3) null,
    expires_at datetime(3) not null,
    primary key (owner, number),
    unique key inbox_items_id (owner, id),
    key inbox_items_folder (owner, folder, number, read_at),
    key inbox_items_expiry (expires_at)
  ) ${options}`,

  `create table if not exists inbox_events (
    owner char(32) not null,
    number bigint not null,
    kind varchar(16) not null,
    item_id varchar(64) null,
    up_to bigint null,
    unread int not null,
    created_at datetime(3) not null,
    primary key (owner, number),
    key inbox_events_age (created_at)
  ) ${options}`,
];

/** In-site inboxes: items, the log of their changes, and each one's counters. */
export async function up(db: Knex): Promise<void> {
  for (const statement of statements) await db.raw(statement);
}
