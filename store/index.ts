/** Every durable thing in MySQL or MariaDB, one part each. Errors of every call: store-unavailable, and what the part says. */
import type { ProviderTokens } from '../contracts/channel.ts';
import type { InboxWriter } from '../contracts/inbox.ts';
import type { Logger } from '../platform/logger.ts';
import { createProviderTokens } from '../platform/provider-tokens.ts';
import { dayKeyDays } from '../platform/day-key.ts';
import type { Sealer } from '../platform/seal.ts';
import { createAccountVerifications, type AccountVerifications } from './account-verifications.ts';
import { createApiKeys, type ApiKeys } from './api-keys.ts';
import { createAudit, type Audit } from './audit.ts';
import { createBatches, type Batches } from './batches.ts';
import { createChannelAccounts, type ChannelAccounts } from './channel-accounts.ts';
import { guarded, migrateDatabase, openDatabase, reach } from './database.ts';
import { createDayKeyRing, type DayKeyRing } from './day-key-ring.ts';
import { createDayKeys, type DayKeys } from './day-keys.ts';
import { createChunkClaims, type ChunkClaims } from './chunk-claims.ts';
import { createCircuits, type Circuits } from './circuits.ts';
import { createConsents, type Consents } from './consents.ts';
import { createDevices, type Devices } from './devices.ts';
import { createErasures, type Erasures } from './erasures.ts';
import { createInbox, type Inbox } from './inbox.ts';
import { createLeases, type Leases } from './leases.ts';
import { createLoginTries, type LoginTries } from './login-tries.ts';
import { createMembers, memberLeaseMs, type Members } from './members.ts';
import { createOptOuts, type OptOuts } from './opt-outs.ts';
import { createParkedReceipts, type ParkedReceipts } from './parked-receipts.ts';
import { createPeople, type People } from './people.ts';
import { createTokenTable, type TokenTable } from './provider-tokens.ts';
import { createQuotaCounters, type QuotaCounters } from './quota-counters.ts';
import { createRecipientCounters, type RecipientCounters } from './recipient-counters.ts';
import { createRedrives, type Redrives } from './redrives.ts';
import { createRevisions, type Revisions } from './revisions.ts';
import { createSecrets, type Secrets } from './secrets.ts';
import { createSessions, type Sessions } from './sessions.ts';
import { createSuppressions, type Suppressions } from './suppressions.ts';
import { createStops, type Stops } from './stops.ts';
import { createTemplateImports, type TemplateImports } from './template-imports.ts';
import { createTemplateVersions, type TemplateVersions } from './template-versions.ts';
import { createTemplates, type Templates } from './templates.ts';
import { createTenantQuotas, type TenantQuotasTable } from './tenant-quotas.ts';
import { createTenantResultTopics, type TenantResultTopics } from './tenant-result-topics.ts';
import { createTenantPolicies, type TenantPolicies } from './tenant-policies.ts';
import { createTenants, type Tenants } from './tenants.ts';
import { createUsers, type Users } from './users.ts';
import { createWebhookAttempts, type WebhookAttempts } from './webhook-attempts.ts';
import { createWebhookDeliveries, type WebhookDeliveries } from './webhook-deliveries.ts';
import { createWebhookEndpoints, type WebhookEndpoints } from './webhook-endpoints.ts';

export { openResultTopics, type ResultTopicsInForce } from './tenant-result-topics.ts';
export { createDirectory, type Directory } from './directory.ts';
export type { AuditFilter, AuditIntent } from './audit.ts';
export { triesPerWindow } from './login-tries.ts';
export { createLeaseHolder } from './leases.ts';
export { openDirectory } from './open-directory.ts';
export { openStops, type StopVerdict } from './open-stops.ts';
export { untilConfirmed } from './await-members.ts';
export { batchListKey, type Batches } from './batches.ts';
export { batchesLease, type Block, type RunningBatch } from './batch-runs.ts';
export { faultsInRow, type Upload } from './batch-uploads.ts';
export type { DayKeyRing } from './day-key-ring.ts';
export type { DayKeys } from './day-keys.ts';
export type { Members } from './members.ts';
export type { Stops } from './stops.ts';
export type { ChunkClaims } from './chunk-claims.ts';
export type { Circuit, Circuits } from './circuits.ts';
export type { ConsentPlace, Consents, ConsentWord } from './consents.ts';
export type { DayCount, DayLimit, QuotaCounters } from './quota-counters.ts';
export type { Verification } from './account-verifications.ts';
export type { SealedUnder } from './secrets.ts';
export type { Device, Devices } from './devices.ts';
export type { DueErasure, Erasures } from './erasures.ts';
export type { People } from './people.ts';
export { everyChannel, type Suppression, type Suppressions } from './suppressions.ts';
export { listKey as redriveListKey, type Redrives, type RunningRedrive } from './redrives.ts';
export { openWebhookEndpoints, type EndpointsInForce } from './open-webhook-endpoints.ts';
export type { RecordedAttempt, WebhookAttempts } from './webhook-attempts.ts';
export type {
  PendingWebhook,
  WebhookDeliveries,
  WebhookEventToSend,
  WebhookToKeep,
} from './webhook-deliveries.ts';
export type { KnownEndpoint, WebhookEndpoints } from './webhook-endpoints.ts';
export { inboxFilters, type FirstRead, type Inbox, type InboxPosition } from './inbox.ts';

export interface Store {
  readonly tenants: Tenants;
  readonly apiKeys: ApiKeys;
  readonly templates: Templates;
  readonly templateVersions: TemplateVersions;
  readonly templateImports: TemplateImports;
  readonly channelAccounts: ChannelAccounts;
  readonly recipientCounters: RecipientCounters;
  readonly parkedReceipts: ParkedReceipts;
  readonly leases: Leases;
  readonly providerTokens: TokenTable;
  readonly devices: Devices;
  readonly optOuts: OptOuts;
  readonly consents: Consents;
  readonly people: People;
  readonly suppressions: Suppressions;
  readonly tenantPolicies: TenantPolicies;
  readonly tenantQuotas: TenantQuotasTable;
  readonly tenantResultTopics: TenantResultTopics;
  readonly quotaCounters: QuotaCounters;
  readonly accountVerifications: AccountVerifications;
  readonly secrets: Secrets;
  readonly dayKeys: DayKeys;
  /** What messages are about is sealed and opened by it. */
  readonly dayKeyRing: DayKeyRing;
  readonly circuits: Circuits;
  readonly chunkClaims: ChunkClaims;
  readonly redrives: Redrives;
  readonly erasures: Erasures;
  readonly batches: Batches;
  readonly inbox: Inbox;
  readonly stops: Stops;
  readonly members: Members;
  readonly users: Users;
  readonly sessions: Sessions;
  readonly loginTries: LoginTries;
  readonly audit: Audit;
  readonly webhookEndpoints: WebhookEndpoints;
  readonly webhookDeliveries: WebhookDeliveries;
  readonly webhookAttempts: WebhookAttempts;
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
  /** Days after its own for which a day key lives. Default: as `dayKeyDays` says of the settings' defaults. */
  readonly keyDays?: number;
  readonly logger: Logger;
}
const usualKeyDays = dayKeyDays({ dayKeyDays: 0, indexDays: 30, temporalRetentionDays: 7 });

/** A send waits for it, and has its provider's call still to make within the attempt's time. */
const counterDeadlineMs = 5000;
const pingDeadlineMs = 2000;
/** A transaction for each inbox that holds something old. */
const purgeDeadlineMs = 120_000;
/** Reads every sealed row. */
const rewrapDeadlineMs = 60_000;
/** Many templates in one transaction. */
const importDeadlineMs = 60_000;
const migrateDeadlineMs = 300_000;

/** Opens the store; connects at the first call, so it can be made while the database is down. */
export function createStore(options: StoreOptions): Store {
  const { mysqlUrl, sealer, slots, logger, keyDays = usualKeyDays } = options;
  const db = openDatabase(mysqlUrl, logger);
  // Connections of their own: behind a rush of other calls a process would be blind, and stop sending.
  const stopsDb = openDatabase(mysqlUrl, logger, 2);
  // Their own, too: what waits for an endpoint that is away must hold up nothing else.
  const webhooksDb = openDatabase(mysqlUrl, logger, 4);
  const providerTokens = guarded(createTokenTable(db, sealer), counterDeadlineMs);
  const tokens = createProviderTokens({
    shelf: providerTokens,
    onUnshared: (error) => logger.warn({ error }, 'provider-token.unshared'),
  });
  const dayKeys = guarded(createDayKeys(db, sealer, keyDays));
  const batches = createBatches(db, sealer);
  const inboxes = createInbox(db, sealer);
  const inbox: Inbox = {
    ...guarded(inboxes),
    purge: (nowMs, limit) => reach(() => inboxes.purge(nowMs, limit), purgeDeadlineMs),
  };
  return {
    tenants: guarded(createTenants(db)),
    apiKeys: guarded(createApiKeys(db)),
    templates: guarded(createTemplates(db)),
    templateVersions: guarded(createTemplateVersions(db)),
    templateImports: guarded(createTemplateImports(db), importDeadlineMs),
    channelAccounts: guarded(createChannelAccounts(db, { sealer, slots })),
    recipientCounters: guarded(createRecipientCounters(db), counterDeadlineMs),
    parkedReceipts: guarded(createParkedReceipts(db, sealer)),
    leases: guarded(createLeases(db)),
    providerTokens,
    connectorState: { tokens, inbox },
    devices: guarded(createDevices(db, sealer)),
    circuits: guarded(createCircuits(db), counterDeadlineMs),
    chunkClaims: guarded(createChunkClaims(db), counterDeadlineMs),
    optOuts: guarded(createOptOuts(db), counterDeadlineMs),
    consents: guarded(createConsents(db, sealer), counterDeadlineMs),
    people: guarded(createPeople(db, sealer), counterDeadlineMs),
    suppressions: guarded(createSuppressions(db), counterDeadlineMs),
    tenantPolicies: guarded(createTenantPolicies(db)),
    tenantQuotas: guarded(createTenantQuotas(db)),
    tenantResultTopics: guarded(createTenantResultTopics(db)),
    quotaCounters: guarded(createQuotaCounters(db)),
    accountVerifications: guarded(createAccountVerifications(db)),
    secrets: guarded(createSecrets(db, sealer, logger), rewrapDeadlineMs),
    dayKeys,
    dayKeyRing: createDayKeyRing({ dayKeys, sealer, keyDays }),
    redrives: guarded(createRedrives(db)),
    erasures: guarded(createErasures(db, sealer)),
    batches: {
      ...guarded(batches),
      purgeUploads: (beforeMs, limit) =>
        reach(() => batches.purgeUploads(beforeMs, limit), purgeDeadlineMs),
    },
    inbox,
    stops: guarded(createStops(stopsDb), memberLeaseMs),
    members: guarded(createMembers(stopsDb), memberLeaseMs),
    users: guarded(createUsers(db)),
    sessions: guarded(createSessions(db)),
    loginTries: guarded(createLoginTries(db, sealer)),
    audit: guarded(createAudit(db)),
    webhookEndpoints: guarded(createWebhookEndpoints(db, sealer)),
    webhookDeliveries: guarded(createWebhookDeliveries(webhooksDb, sealer)),
    webhookAttempts: guarded(createWebhookAttempts(webhooksDb)),
    revisions: guarded(createRevisions(db)),
    migrate: () => reach(() => migrateDatabase(db), migrateDeadlineMs),
    ping: () => reach(async () => void (await db.raw('select 1')), pingDeadlineMs),
    close: async () =>
      void (await Promise.all([db.destroy(), stopsDb.destroy(), webhooksDb.destroy()])),
  };
}
