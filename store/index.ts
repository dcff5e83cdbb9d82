/** Every durable thing in MySQL or MariaDB, one part each. Errors of every call: store-unavailable, and what the part says. */
import type { ProviderTokens } from '../contracts/channel.ts';
import type { InboxWriter } from '../contracts/inbox.ts';
import type { Logger } from '../platform/logger.ts';
import { createProviderTokens } from '../platform/provider-tokens.ts';
import type { Sealer } from '../platform/seal.ts';
import { createApiKeys, type ApiKeys } from './api-keys.ts';
import { createChannelAccounts, type ChannelAccounts } from './channel-accounts.ts';
import { guarded, migrateDatabase, openDatabase, reach } from './database.ts';
import { createCircuits, type Circuits } from './circuits.ts';
import { createDevices, type Devices } from './devices.ts';
import { createInbox, type Inbox } from './inbox.ts';
import { createLeases, type Leases } from './leases.ts';
import { createOptOuts, type OptOuts } from './opt-outs.ts';
import { createParkedReceipts, type ParkedReceipts } from './parked-receipts.ts';
import { createTokenTable, type TokenTable } from './provider-tokens.ts';
import { createRecipientCounters, type RecipientCounters } from './recipient-counters.ts';
import { createRevisions, type Revisions } from './revisions.ts';
import { createTemplates, type Templates } from './templates.ts';
import { createTenants, type Tenants } from './tenants.ts';

export { createDirectory, type Directory } from './directory.ts';
export { openDirectory } from './open-directory.ts';
export type { Circuit, Circuits } from './circuits.ts';
export type { Device, Devices } from './devices.ts';
export { inboxFilters, type FirstRead, type Inbox, type InboxPosition } from './inbox.ts';

export interface Store {
  readonly tenants: Tenants;
  readonly apiKeys: ApiKeys;
  readonly templates: Templates;
  readonly channelAccounts: ChannelAccounts;
  readonly recipientCounters: RecipientCounters;
  readonly parkedReceipts: ParkedReceipts;
  readonly leases: Leases;
  readonly providerTokens: TokenTable;
  readonly devices: Devices;
  readonly optOuts: OptOuts;
  readonly circuits: Circuits;
  readonly inbox: Inbox;
  readonly revisions: Revisions;
  /** What connectors share between processes: `createConnectors({ …, ...store.connectorState })`. */
  readonly connectorState: { readonly tokens: ProviderTokens; readonly inbox: InboxWriter };
  /** Brings the tables up to date; any number of processes may call it at once. */
  migrate(): Promise<void>;
  /** Whether the database answers. Errors: store-unavailable. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface StoreOptions {
  readonly mysqlUrl: string;
  readonly sealer: Sealer;
  /** How many slots new channel accounts are spread over. */
  readonly slots: number;
  readonly logger: Logger;
}

/** A send waits for it, and has its provider's call still to make within the attempt's time. */
const counterDeadlineMs = 5000;
const pingDeadlineMs = 2000;
/** A transaction for each inbox that holds something old. */
const purgeDeadlineMs = 120_000;
const migrateDeadlineMs = 300_000;

/** Opens the store; connects at the first call, so it can be made while the database is down. */
export function createStore({ mysqlUrl, sealer, slots, logger }: StoreOptions): Store {
  const db = openDatabase(mysqlUrl, logger);
  const providerTokens = guarded(createTokenTable(db, sealer), counterDeadlineMs);
  const tokens = createProviderTokens({
    shelf: providerTokens,
    onUnshared: (error) => logger.warn({ error }, 'provider-token.unshared'),
  });
  const inboxes = createInbox(db, sealer);
  const inbox: Inbox = {
    ...guarded(inboxes),
    purge: (nowMs, limit) => reach(() => inboxes.purge(nowMs, limit), purgeDeadlineMs),
  };
  return {
    tenants: guarded(createTenants(db)),
    apiKeys: guarded(createApiKeys(db)),
    templates: guarded(createTemplates(db)),
    channelAccounts: guarded(createChannelAccounts(db, { sealer, slots })),
    recipientCounters: guarded(createRecipientCounters(db), counterDeadlineMs),
    parkedReceipts: guarded(createParkedReceipts(db, sealer)),
    leases: guarded(createLeases(db)),
    providerTokens,
    connectorState: { tokens, inbox },
    devices: guarded(createDevices(db, sealer)),
    circuits: guarded(createCircuits(db), counterDeadlineMs),
    optOuts: guarded(createOptOuts(db), counterDeadlineMs),
    inbox,
    revisions: guarded(createRevisions(db)),
    migrate: () => reach(() => migrateDatabase(db), migrateDeadlineMs),
    ping: () => reach(async () => void (await db.raw('select 1')), pingDeadlineMs),
    close: () => db.destroy(),
  };
}
