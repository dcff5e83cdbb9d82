import type { Knex } from 'knex';

/** Which members of a block go as chunks; null: nothing of it was published by a process that makes chunks. */
export async function up(db: Knex): Promise<void> {
  // Neither database adds a column twice, and only one of them knows "if not exists" here.
  if (await db.schema.hasColumn('batch_blocks', 'chunks')) return;
  await db.raw('alter table batch_blocks add column chunks text null');
}
