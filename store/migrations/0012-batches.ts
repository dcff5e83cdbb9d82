import type { Knex } from 'knex';

/**
 * Batches; their uploads, of which one is the batch's; and an upload's blocks of members and faults. A block's sealed members
 * go once the queue has them.
 */
export async function up(db: Knex): Promise<void> {
  const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';
  await db.raw(`create table if not exists batches (
    id varchar(32) not null primary key,
    tenant_id varchar(64) not null,
    template varchar(64) not null,
    request longtext not null,
    state varchar(16) not null,
    upload_id varchar(32) null,
    uploading_id varchar(32) null,
    uploading_until datetime(3) null,
    members int not null default 0,
    faults int not null default 0,
    published int not null default 0,
    waiting_for varchar(500) null,
    start_at datetime(3) null,
    started_at datetime(3) null,
    ended_at datetime(3) null,
    created_at datetime(3) not null,
    updated_at datetime(3) not null,
    key batches_state (state, started_at),
    key batches_tenant (tenant_id, created_at, id),
    key batches_created (created_at, id)
  ) ${options}`);
  await db.raw(`create table if not exists batch_uploads (
    id varchar(32) not null primary key,
    batch_id varchar(32) not null,
    created_at datetime(3) not null,
    key batch_uploads_created (created_at)
  ) ${options}`);
  await db.raw(`create table if not exists batch_blocks (
    upload_id varchar(32) not null,
    number int not null,
    first_index int not null,
    members int not null,
    line_numbers mediumtext not null,
    sealed longtext null,
    is_published boolean not null,
    accepted_at datetime(3) null,
    primary key (upload_id, number),
    key batch_blocks_next (upload_id, is_published, number)
  ) ${options}`);
  await db.raw(`create table if not exists batch_faults (
    upload_id varchar(32) not null,
    number int not null,
    sealed mediumtext not null,
    primary key (upload_id, number)
  ) ${options}`);
}
