/**
 * The migrations, in order. Rules: a released one is never edited; every statement can be repeated; the processes of the
 * version before go on working on the new tables (add first, remove a version later).
 */
import type { Knex } from 'knex';
import * as initial from './0001-initial.ts';
import * as channels from './0002-channels.ts';
import * as inbox from './0003-inbox.ts';
import * as circuits from './0004-circuits.ts';

interface Migration {
  readonly name: string;
  readonly up: (db: Knex) => Promise<void>;
}

const migrations: readonly Migration[] = [
  { name: '0001-initial', up: initial.up },
  { name: '0002-channels', up: channels.up },
  { name: '0003-inbox', up: inbox.up },
  { name: '0004-circuits', up: circuits.up },
];

/** An explicit list, so that sources run by tsx and compiled JavaScript see the same names. */
export const migrationSource: Knex.MigrationSource<Migration> = {
  getMigrations: async () => [...migrations],
  getMigrationName: (migration) => migration.name,
  getMigration: async (migration) => ({
    up: migration.up,
    down: async () => {
      throw new Error('Migrations only go forward; restore a backup to go back.');
    },
  }),
};
