import type { Knex } from 'knex';

const options = 'engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin';

/** Columns by table. Neither database adds one twice, and only one of them knows "if not exists" here. */
const columns = {
  batches: {
    // Keyed hashes of the Idempotency-Key and of what was asked under it.
    key_hash: 'char(32) null',
    request_hash: 'char(32) null',
    erased: 'int not null default 0',
  },
  batch_blocks: {
    // JSON: places of members who were erased; how far the quota let it go when. Null: none; all of it at accepted_at.
    erased: 'text null',
    portions: 'text null',
  },
  erasures: { members_cleared_at: 'datetime(3) null' },
} as const;

/** Batches are made once under a key, keep to quotas, and lose members who are erased. */
export async function up(db: Knex): Promise<void> {
  for (const [table, added] of Object.entries(columns))
    for (const [column, type] of Object.entries(added))
      if (!(await db.schema.hasColumn(table, column)))
        await db.raw(`alter table ${table} add column ${column} ${type}`);
  const [indexes] = (await db.raw(
    "show index from batches where key_name = 'batches_key'",
  )) as unknown as [unknown[]];
  if (indexes.length === 0)
    await db.raw('alter table batches add unique key batches_key (tenant_id, key_hash)');
  // Lanes of tenants in which batches are handed over now: they have a share of the quota per second.
  await db.raw(`create table if not exists quota_batches (
    tenant_id varchar(64) not null,
    lane varchar(16) not null,
    leased_until datetime(3) not null,
    primary key (tenant_id, lane)
  ) ${options}`);
}
