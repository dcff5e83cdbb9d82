/**
 * What every hot path reads instead of MySQL: keys, templates, accounts and policies, mirrored in memory and brought up to
 * date each second. What is not there is read from MySQL; with MySQL down what is there serves on, and the rest is
 * store-unavailable.
 */
import type { AccountAccess } from '../contracts/channel.ts';
import { defaultTenantPolicy, type TenantPolicy } from '../contracts/tenant-policy.ts';
import { defaultTenantQuotas, type TenantQuotas } from '../contracts/tenant-quotas.ts';
import type { Account, Template } from '../contracts/template.ts';
import type { Logger } from '../platform/logger.ts';
import { callerOf, parseApiKey, type Caller, type KnownKey } from './api-keys.ts';
import type { KnownAccount } from './channel-accounts.ts';
import type { Store } from './index.ts';
import { createLru } from '../platform/lru.ts';
import { createMirror, type Mirror } from './mirror.ts';
import { createMisses } from './misses.ts';
import { createPoll, type DirectoryChange } from './poll.ts';
import type { KnownTemplate } from './templates.ts';

/** Errors of every asking method: store-unavailable, and rate-limited when too much of what is asked for does not exist. */
export interface Directory {
  /** Reads everything once and goes on following; does not fail when MySQL is down, but follows once it is up. */
  start(): Promise<void>;
  findCaller(apiKey: string): Promise<Caller | undefined>;
  /** The current version of the live template. */
  template(tenantId: string, name: string): Promise<Template | undefined>;
  /** The same, or what was last current before a delete: for messages that were accepted before it. */
  lastTemplate(tenantId: string, name: string): Promise<Template | undefined>;
  /** One version as it was pinned; never changes, and outlives the template. */
  templateVersion(tenantId: string, name: string, version: number): Promise<Template | undefined>;
  /** Live accounts, oldest first. */
  accountsOf(tenantId: string): Promise<readonly Account[]>;
  /** Undefined: unknown or deleted. */
  account(accountId: string): Promise<Account | undefined>;
  allAccounts(): Promise<readonly Account[]>;
  /** A live account's settings and opened secrets; the same object until the account is edited. */
  access(accountId: string): Promise<AccountAccess | undefined>;
  /** The default for a tenant that has none. */
  policy(tenantId: string): Promise<TenantPolicy>;
  /** None for a tenant that has none; the same object until they are edited. */
  quotas(tenantId: string): Promise<TenantQuotas>;
  /** Calls back after each batch of changes is in force here; returns how to stop that. */
  onChange(listener: (change: DirectoryChange) => void): () => void;
  /** Epoch milliseconds at which the last complete look at MySQL began; undefined: never yet. */
  lastReadAt(): number | undefined;
  /** Whether the last complete look is older than `maxAgeMs` (default 5000), or there was none. */
  isStale(maxAgeMs?: number): boolean;
  close(): Promise<void>;
}

export interface DirectoryOptions {
  readonly store: Store;
  readonly logger: Logger;
  /** Default 1000. */
  readonly pollMs?: number;
}

const keptVersions = 2000;

export function createDirectory({ store, logger, pollMs = 1000 }: DirectoryOptions): Directory {
  const keys = new Map<string, KnownKey>();
  const templates = new Map<string, KnownTemplate>();
  const accounts = new Map<string, KnownAccount>();
  const policies = new Map<string, TenantPolicy>();
  const quotas = new Map<string, TenantQuotas>();
  let liveByTenant: ReadonlyMap<string, readonly Account[]> | undefined;
  const versions = createLru<Template>(keptVersions);
  const opened = new WeakMap<KnownAccount, AccountAccess>();
  const misses = createMisses();
  const listeners = new Set<(change: DirectoryChange) => void>();

  const enterKey = (known: KnownKey) => keys.set(known.keyId, known);
  const enterTemplate = (known: KnownTemplate) =>
    templates.set(nameKey(known.template.tenantId, known.template.name), known);
  const enterAccount = (known: KnownAccount) => {
    accounts.set(known.account.id, known);
    liveByTenant = undefined;
  };

  const keyMirror = createMirror({
    kind: 'api-keys',
    changedSince: (revision, limit) => store.apiKeys.changedSince(revision, limit),
    enter: enterKey,
    clear: () => keys.clear(),
    logger,
  });
  const templateMirror = createMirror({
    kind: 'templates',
    changedSince: (revision, limit) => store.templates.changedSince(revision, limit),
    enter: enterTemplate,
    clear: () => templates.clear(),
    logger,
  });
  const accountMirror = createMirror({
    kind: 'channel-accounts',
    changedSince: (revision, limit) => store.channelAccounts.changedSince(revision, limit),
    enter: enterAccount,
    clear: () => {
      accounts.clear();
      liveByTenant = undefined;
    },
    logger,
  });
  const policyMirror = createMirror({
    kind: 'tenants',
    changedSince: (revision, limit) => store.tenantPolicies.changedSince(revision, limit),
    enter: ({ tenantId, document }) => policies.set(tenantId, document),
    clear: () => policies.clear(),
    logger,
  });
  const quotaMirror = createMirror({
    kind: 'tenants',
    changedSince: (revision, limit) => store.tenantQuotas.changedSince(revision, limit),
    enter: ({ tenantId, document }) => quotas.set(tenantId, document),
    clear: () => quotas.clear(),
    logger,
  });
  const dayKeyMirror = createMirror({
    kind: 'day-keys',
    changedSince: (revision, limit) => store.dayKeys.changedSince(revision, limit),
    enter: (known) => store.dayKeyRing.enter(known),
    clear: () => store.dayKeyRing.clear(),
    logger,
  });
  const poll = createPoll({
    store,
    logger,
    pollMs,
    mirrors: [keyMirror, templateMirror, accountMirror, policyMirror, quotaMirror, dayKeyMirror],
    tell: (change) => {
      for (const listener of listeners) {
        try {
          listener(change);
        } catch (error) {
          logger.error({ error, kind: change.kind }, 'directory.listener-failed');
        }
      }
    },
  });

  /** Reads what a mirror lacks and enters it, unless newer rows came in meanwhile. */
  const readThrough = async <T>(
    mirror: Mirror,
    miss: { scope: string; key: string; read: () => Promise<T | undefined> },
    enter: (found: T) => unknown,
  ): Promise<T | undefined> => {
    const generation = mirror.generation();
    const found = await misses.read(miss.scope, `${mirror.kind} ${miss.key}`, miss.read);
    if (found !== undefined && mirror.generation() === generation) enter(found);
    return found;
  };

  const knownTemplate = (tenantId: string, name: string) =>
    readThrough(
      templateMirror,
      {
        scope: tenantId,
        key: nameKey(tenantId, name),
        read: () => store.templates.findByName(tenantId, name),
      },
      enterTemplate,
    );

  const liveAccount = async (accountId: string): Promise<KnownAccount | undefined> => {
    const known =
      accounts.get(accountId) ??
      (await readThrough(
        accountMirror,
        {
          scope: 'accounts',
          key: accountId,
          read: () => store.channelAccounts.find(accountId),
        },
        enterAccount,
      ));
    return known === undefined || known.isDeleted ? undefined : known;
  };

  // Asked for each message, so it is grouped once per change.
  const accountsByTenant = () => (liveByTenant ??= groupLive(accounts.values()));

  return {
    start: poll.start,
    close: poll.close,
    lastReadAt: poll.lastReadAt,
    isStale: (maxAgeMs = 5000) => Date.now() - (poll.lastReadAt() ?? 0) > maxAgeMs,
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    findCaller: async (apiKey) => {
      const parsed = parseApiKey(apiKey);
      if (parsed === undefined) return undefined;
      const known =
        keys.get(parsed.id) ??
        (await readThrough(
          keyMirror,
          { scope: 'api-keys', key: parsed.id, read: () => store.apiKeys.find(parsed.id) },
          enterKey,
        ));
      return known && callerOf(known, parsed.secret);
    },

    template: async (tenantId, name) => {
      const held = templates.get(nameKey(tenantId, name));
      // A deleted name may have been given to another template since the last look.
      const known = held?.isDeleted === false ? held : await knownTemplate(tenantId, name);
      return known?.isDeleted === false ? known.template : undefined;
    },
    lastTemplate: async (tenantId, name) =>
      (templates.get(nameKey(tenantId, name)) ?? (await knownTemplate(tenantId, name)))?.template,
    templateVersion: async (tenantId, name, version) => {
      const current = templates.get(nameKey(tenantId, name))?.template;
      if (current?.version === version) return current;
      const key = `${nameKey(tenantId, name)} ${version}`;
      const held = versions.get(key);
      if (held !== undefined) return held;
      const found = await misses.read(tenantId, `version ${key}`, () =>
        store.templates.version(tenantId, name, version),
      );
      if (found !== undefined) versions.set(key, found);
      return found;
    },

    account: async (accountId) => (await liveAccount(accountId))?.account,
    accountsOf: async (tenantId) => {
      const held = accountsByTenant().get(tenantId);
      if (held !== undefined) return held;
      return misses.read(tenantId, `accounts of ${tenantId}`, () =>
        store.channelAccounts.list(tenantId, { limit: 1000 }),
      );
    },
    allAccounts: async () =>
      accountMirror.generation() > 0
        ? [...accountsByTenant().values()].flat()
        : misses.read('accounts', 'all accounts', () => store.channelAccounts.listAll()),
    access: async (accountId) => {
      const known = await liveAccount(accountId);
      if (known === undefined) return undefined;
      const access = opened.get(known) ?? known.open();
      opened.set(known, access);
      return access;
    },
    // Most tenants have none, so what a filled mirror lacks is not asked for.
    policy: async (tenantId) =>
      policyMirror.generation() > 0
        ? (policies.get(tenantId) ?? defaultTenantPolicy)
        : misses.read(tenantId, `policy of ${tenantId}`, () => store.tenantPolicies.get(tenantId)),
    quotas: async (tenantId) =>
      quotaMirror.generation() > 0
        ? (quotas.get(tenantId) ?? defaultTenantQuotas)
        : misses.read(tenantId, `quotas of ${tenantId}`, () => store.tenantQuotas.get(tenantId)),
  };
}

function groupLive(accounts: Iterable<KnownAccount>): Map<string, Account[]> {
  const groups = new Map<string, Account[]>();
  for (const { account, isDeleted } of accounts) {
    if (isDeleted) continue;
    const group = groups.get(account.tenantId);
    if (group === undefined) groups.set(account.tenantId, [account]);
    else group.push(account);
  }
  for (const group of groups.values())
    group.sort((a, b) => compare(a.createdAt, b.createdAt) || compare(a.id, b.id));
  return groups;
}

function nameKey(tenantId: string, name: string): string {
  return `${tenantId}/${name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
