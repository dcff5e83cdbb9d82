import type { Knex } from 'knex';

/** Shares of several accounts of one connector. */
export async function up(db: Knex): Promise<void> {
  // Neither database adds a column twice, and only one of them knows "if not exists" here.
  if (await db.schema.hasColumn('channel_accounts', 'weight')) return;
  await db.raw('alter table channel_accounts add column weight double not null default 1');
}
