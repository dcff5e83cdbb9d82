/**
 * Provider tokens: one fetch for all callers of all processes, renewed before they end, made anew once when a provider
 * says they are stale. Nothing here knows a provider.
 */
import { createHash } from 'node:crypto';
import type { FetchedToken, ProviderTokens, TokenKey } from '../contracts/channel.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { pause } from './lifecycle.ts';
import { createLru } from './lru.ts';

/** A token could not be had; `outcome` is what the call it was wanted for comes to. */
export class TokenRefused extends Error {
  readonly outcome: SendOutcome;

  constructor(outcome: SendOutcome) {
    super(`no token: ${outcome.class}`);
    this.outcome = outcome;
  }
}

export interface StoredToken {
  readonly token: string;
  readonly expiresAtMs: number;
  /** From here on it is renewed, though it still works. */
  readonly renewAtMs: number;
}

/** Where tokens are shared. Errors of every call: the store does not answer. */
export interface TokenShelf {
  read(key: TokenKey): Promise<StoredToken | undefined>;
  /** Whether this caller is the one that fetches for the next `leaseMs`. */
  lease(key: TokenKey, leaseMs: number): Promise<boolean>;
  /** Puts a new token and ends the lease. */
  write(key: TokenKey, token: StoredToken): Promise<void>;
  /** Ends the lease without a token. */
  release(key: TokenKey): Promise<void>;
  /** Forgets the token if it is still this one. */
  expire(key: TokenKey, failed: string): Promise<void>;
}

export interface TokensOptions {
  /** Absent: tokens are shared within this process only. */
  readonly shelf?: TokenShelf;
  /** Told when the shelf does not answer; the token is then fetched without it. */
  readonly onUnshared?: (error: unknown) => void;
  readonly now?: () => number;
}

const leaseMs = 10_000;
const pollMs = 100;
/** Tokens remembered in this process; some providers have one for each message. */
const maxEntries = 10_000;
/** Renewed this long before its end: providers of two-hour tokens keep the old one valid for five minutes. */
const renewBeforeMs = 300_000;
const longestRefusalMs = 60_000;

interface Entry {
  stored?: StoredToken;
  flight?: Promise<string> | undefined;
  /** A provider that refused credentials is left alone for a while: some lock out who keeps asking. */
  refusal?: { readonly error: TokenRefused; readonly untilMs: number; readonly count: number };
}

/** Makes the cache of this process over a shelf that all share. */
export function createProviderTokens(options: TokensOptions = {}): ProviderTokens {
  const { shelf, onUnshared, now = Date.now } = options;
  const entries = createLru<Entry>(maxEntries);
  const entryOf = (key: TokenKey): Entry => {
    const id = `${key.accountId}/${key.name}`;
    const known = entries.get(id);
    if (known !== undefined) return known;
    const made: Entry = {};
    entries.set(id, made);
    return made;
  };

  const fetchNow = async (
    entry: Entry,
    fetch: () => Promise<FetchedToken>,
  ): Promise<StoredToken> => {
    if (entry.refusal !== undefined && now() < entry.refusal.untilMs) throw entry.refusal.error;
    try {
      const { token, expiresInMs } = await fetch();
      delete entry.refusal;
      const expiresAtMs = now() + expiresInMs;
      const renewAtMs = expiresAtMs - Math.min(renewBeforeMs, expiresInMs / 10);
      return { token, expiresAtMs, renewAtMs };
    } catch (error) {
      if (error instanceof TokenRefused && error.outcome.class === 'auth-invalid') {
        const count = (entry.refusal?.count ?? 0) + 1;
        const waitMs = Math.min(longestRefusalMs, 500 * 2 ** count);
        entry.refusal = { error, untilMs: now() + waitMs, count };
      }
      throw error;
    }
  };

  /** Over the shelf: whoever gets the lease fetches, the others wait for what it puts there. */
  const fetchShared = async (
    held: TokenShelf,
    { key, entry }: { readonly key: TokenKey; readonly entry: Entry },
    fetch: () => Promise<FetchedToken>,
  ): Promise<StoredToken> => {
    const deadlineMs = now() + leaseMs;
    for (;;) {
      const found = await held.read(key);
      if (found !== undefined && found.renewAtMs > now()) return found;
      if (await held.lease(key, leaseMs)) {
        try {
          const made = await fetchNow(entry, fetch);
          await held.write(key, made);
          return made;
        } catch (error) {
          await held.release(key).catch(() => undefined); // the lease runs out by itself
          throw error;
        }
      }
      // Somebody else renews it; what still works goes on working.
      if (found !== undefined && found.expiresAtMs > now()) return found;
      if (now() > deadlineMs) return fetchNow(entry, fetch);
      await pause(pollMs);
    }
  };

  const renew = async (
    key: TokenKey,
    entry: Entry,
    fetch: () => Promise<FetchedToken>,
  ): Promise<string> => {
    let fetchError: unknown;
    const noting = async () => {
      try {
        return await fetch();
      } catch (error) {
        fetchError = error;
        throw error;
      }
    };
    try {
      if (shelf === undefined) entry.stored = await fetchNow(entry, noting);
      else
        entry.stored = await fetchShared(shelf, { key, entry }, noting).catch((error: unknown) => {
          if (error === fetchError || error instanceof TokenRefused) throw error;
          onUnshared?.(error);
          return fetchNow(entry, noting);
        });
      return entry.stored.token;
    } catch (error) {
      // The provider gives no new one; the old one may work for some minutes yet.
      if (entry.stored !== undefined && entry.stored.expiresAtMs > now()) return entry.stored.token;
      throw error;
    }
  };

  return {
    current: async (key, fetch) => {
      const entry = entryOf(key);
      if (entry.stored !== undefined && entry.stored.renewAtMs > now()) return entry.stored.token;
      entry.flight ??= renew(key, entry, fetch).finally(() => {
        entry.flight = undefined;
      });
      return entry.flight;
    },
    expire: async (key, failed) => {
      const entry = entryOf(key);
      if (entry.stored?.token === failed) delete entry.stored;
      try {
        await shelf?.expire(key, failed);
      } catch (error) {
        onUnshared?.(error);
      }
    },
  };
}

/** Name of a token: what it is for, and a hash of the credentials it is made from. */
export function tokenName(use: string, ...credentials: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(credentials)).digest('hex');
  return `${use}.${hash.slice(0, 24)}`;
}

/**
 * One call with a token: when the provider says that the token is stale, it is made anew and the call repeated, once.
 * What a fetch refuses is the outcome. `call` must tell of a stale token as `auth-expired`.
 */
export async function callWithToken(options: {
  readonly tokens: ProviderTokens;
  readonly key: TokenKey;
  readonly fetch: () => Promise<FetchedToken>;
  readonly call: (token: string) => Promise<SendOutcome>;
}): Promise<SendOutcome> {
  const { tokens, key, fetch, call } = options;
  try {
    const token = await tokens.current(key, fetch);
    const outcome = await call(token);
    if (outcome.class !== 'auth-expired') return outcome;
    await tokens.expire(key, token);
    return await call(await tokens.current(key, fetch));
  } catch (error) {
    if (error instanceof TokenRefused) return error.outcome;
    throw error;
  }
}
