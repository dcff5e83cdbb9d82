import type { Knex } from 'knex';

/**
 * Versions that are not in force yet, who wrote and who approved them, and accounts that lead to a sandbox.
 * What is there already, and what the program before writes, is published.
 */
export async function up(db: Knex): Promise<void> {
  if (!(await db.schema.hasColumn('template_versions', 'state')))
    // written_by: everyone who has written any of it, as a JSON list, in order.
    await db.raw(`alter table template_versions
      add column state varchar(16) not null default 'published',
      add column edition int not null default 1,
      add column base_version int not null default 0,
      add column rollback_of int null,
      add column written_by longtext null,
      add column edited_at datetime(3) null,
      add column submitted_by varchar(64) null,
      add column submitted_at datetime(3) null,
      add column reviewed_by varchar(64) null,
      add column reviewed_at datetime(3) null,
      add column review_comment longtext null,
      add column published_by varchar(64) null,
      add column published_at datetime(3) null,
      add key template_versions_state (tenant_id, state, template_id, version)`);
  if (!(await db.schema.hasColumn('channel_accounts', 'is_sandbox')))
    await db.raw('alter table channel_accounts add column is_sandbox tinyint not null default 0');
}
