/**
 * The migrations, in order. Rules: a released one is never edited; every statement can be repeated; the processes of the
 * version before go on working on the new tables (add first, remove a version later).
 */
import type { Knex } from 'knex';
import * as initial from './0001-initial.ts';
import * as channels from './0002-channels.ts';
import * as inbox from './0003-inbox.ts';
import * as circuits from './0004-circuits.ts';
import * as people from './0005-people.ts';
import * as stops from './0006-stops.ts';
import * as redrives from './0007-redrives.ts';
import * as accountWeights from './0008-account-weights.ts';
import * as users from './0009-users.ts';
import * as tenantQuotas from './0010-tenant-quotas.ts';
import * as templateReviews from './0011-template-reviews.ts';
import * as batches from './0012-batches.ts';
import * as resultWebhooks from './0013-result-webhooks.ts';
import * as chunks from './0014-chunks.ts';
import * as erasures from './0015-erasures.ts';
import * as blockWays from './0016-block-ways.ts';
import * as batchRules from './0017-batch-rules.ts';
import * as tenantResultTopics from './0019-tenant-result-topics.ts';
import * as dayKeys from './0020-day-keys.ts';
import * as consents from './0021-consents.ts';

interface Migration {
  readonly name: string;
  readonly up: (db: Knex) => Promise<void>;
}

const migrations: readonly Migration[] = [
  { name: '0001-initial', up: initial.up },
  { name: '0002-channels', up: channels.up },
  { name: '0003-inbox', up: inbox.up },
  { name: '0004-circuits', up: circuits.up },
  { name: '0005-people', up: people.up },
  { name: '0006-stops', up: stops.up },
  { name: '0007-redrives', up: redrives.up },
  { name: '0008-account-weights', up: accountWeights.up },
  { name: '0009-users', up: users.up },
  { name: '0010-tenant-quotas', up: tenantQuotas.up },
  { name: '0011-template-reviews', up: templateReviews.up },
  { name: '0012-batches', up: batches.up },
  { name: '0013-result-webhooks', up: resultWebhooks.up },
  { name: '0014-chunks', up: chunks.up },
  { name: '0015-erasures', up: erasures.up },
  { name: '0016-block-ways', up: blockWays.up },
  { name: '0017-batch-rules', up: batchRules.up },
  { name: '0019-tenant-result-topics', up: tenantResultTopics.up },
  { name: '0020-day-keys', up: dayKeys.up },
  { name: '0021-consents', up: consents.up },
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
