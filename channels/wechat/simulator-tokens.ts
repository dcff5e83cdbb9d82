/** The simulated token desk: `stable_token` in both modes, and the old `token`, which knows nothing of each other. */
import { randomBytes } from 'node:crypto';

interface Issued {
  readonly token: string;
  readonly appId: string;
  readonly line: 'stable' | 'legacy';
  readonly expiresAtMs: number;
  isDead: boolean;
}

export type TokenState = { readonly appId: string } | { readonly errcode: 40001 | 42001 };

export interface TokenDesk {
  /** Normal mode: the same token until five minutes before its end; then a new one, and both work until the old one ends. */
  stable(appId: string): { readonly token: string; readonly expiresIn: number };
  /** Ends the tokens before it at once. Undefined: 20 times a day is the limit. Again within 30 s: the same token. */
  forced(appId: string): { readonly token: string; readonly expiresIn: number } | undefined;
  /** A new token each time, and the one before it ends. */
  legacy(appId: string): { readonly token: string; readonly expiresIn: number };
  check(token: string): TokenState;
  /** Ends all tokens of this AppID, or of all. */
  revoke(appId?: string): void;
  /** Calls of the desk that gave a token. */
  given(): number;
  clear(): void;
}

const overlapMs = 300_000;
const forcedApartMs = 30_000;
const forcedADay = 20;
const dayMs = 86_400_000;

/** Makes the desk; `now` is the simulated clock. */
export function createTokenDesk(options: {
  readonly now: () => number;
  readonly lifeMs: () => number;
}): TokenDesk {
  const { now, lifeMs } = options;
  const issued = new Map<string, Issued>();
  const current = new Map<string, Issued>();
  const forcedAt = new Map<string, number[]>();
  let given = 0;

  const issue = (appId: string, line: Issued['line']): Issued => {
    for (const [token, { expiresAtMs }] of issued)
      // Remembered for a while after its end, to tell 42001 from 40001.
      if (expiresAtMs + dayMs < now()) issued.delete(token);
    const made = {
      token: `${issued.size + 70}_${randomBytes(66).toString('base64url')}`,
      appId,
      line,
      expiresAtMs: now() + lifeMs(),
      isDead: false,
    };
    issued.set(made.token, made);
    current.set(`${line}/${appId}`, made);
    return made;
  };
  const give = ({ token, expiresAtMs }: Issued) => {
    given += 1;
    return { token, expiresIn: Math.max(1, Math.floor((expiresAtMs - now()) / 1000)) };
  };
  const kill = (line: Issued['line'] | undefined, appId: string | undefined) => {
    for (const each of issued.values())
      if ((line ?? each.line) === each.line && (appId ?? each.appId) === each.appId)
        each.isDead = true;
  };

  return {
    stable: (appId) => {
      const held = current.get(`stable/${appId}`);
      const overlap = Math.min(overlapMs, lifeMs() / 2);
      const isGood = held !== undefined && !held.isDead && held.expiresAtMs - now() > overlap;
      return give(isGood ? held : issue(appId, 'stable'));
    },
    forced: (appId) => {
      const times = (forcedAt.get(appId) ?? []).filter((at) => now() - at < dayMs);
      const held = current.get(`stable/${appId}`);
      const last = times.at(-1);
      if (last !== undefined && now() - last < forcedApartMs && held?.isDead === false)
        return give(held);
      if (times.length >= forcedADay) return undefined;
      forcedAt.set(appId, [...times, now()]);
      kill('stable', appId);
      return give(issue(appId, 'stable'));
    },
    legacy: (appId) => {
      kill('legacy', appId);
      return give(issue(appId, 'legacy'));
    },
    check: (token) => {
      const found = issued.get(token);
      if (found === undefined || found.isDead) return { errcode: 40001 };
      return found.expiresAtMs <= now() ? { errcode: 42001 } : { appId: found.appId };
    },
    revoke: (appId) => kill(undefined, appId),
    given: () => given,
    clear: () => {
      issued.clear();
      current.clear();
      forcedAt.clear();
      given = 0;
    },
  };
}
