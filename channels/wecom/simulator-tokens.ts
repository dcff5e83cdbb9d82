/** Access tokens of the WeCom simulator: an app's own, the same until they end, and wrong secrets lock out. */
import type { ServedReply } from '../sandbox/provider.ts';
import type { Random } from '../sandbox/random.ts';
import { createWindows } from './simulator-limits.ts';
import {
  done,
  refuse,
  type Read,
  type WecomApp,
  type WecomSettings,
} from './simulator-settings.ts';

const hourMs = 3_600_000;

export interface TokenDesk {
  /** GET gettoken. */
  issue(query: URLSearchParams): ServedReply;
  /** The app whose token this is. */
  appOf(token: string | null): Read<WecomApp>;
  /** Makes every token that was given out stale. */
  revoke(): void;
  clear(): void;
}

/** Makes the desk of one corporation. */
export function createTokenDesk(options: {
  readonly corpId: string;
  readonly apps: readonly WecomApp[];
  readonly settings: () => WecomSettings;
  readonly now: () => number;
  readonly random: Random;
}): TokenDesk {
  const { corpId, apps, settings, now, random } = options;
  const current = new Map<string, { readonly token: string; readonly endsAt: number }>();
  const ended = new Set<string>();
  const owners = new Map<string, WecomApp>();
  const badSecrets = createWindows(now, hourMs);

  const newToken = () =>
    Array.from({ length: 4 }, () => Math.floor(random() * 2 ** 52).toString(36)).join('-');
  return {
    issue: (query) => {
      const secret = query.get('corpsecret');
      if (query.get('corpid') === null) return refuse(41002, 'corpid missing');
      if (secret === null) return refuse(41004, 'corpsecret missing');
      if (query.get('corpid') !== corpId) return refuse(40013, 'invalid corpid');
      const { badSecretsPerHour, tokenLifeSeconds } = settings();
      if (badSecretsPerHour !== null && badSecrets.within(corpId, hourMs) >= badSecretsPerHour)
        return refuse(45009, 'api freq out of limit');
      const app = apps.find((each) => each.secret === secret);
      if (app === undefined) {
        badSecrets.count(corpId);
        return refuse(40001, 'invalid credential');
      }
      const known = current.get(secret);
      const given =
        known !== undefined && known.endsAt > now()
          ? known
          : { token: newToken(), endsAt: now() + tokenLifeSeconds * 1000 };
      current.set(secret, given);
      owners.set(given.token, app);
      return done({
        access_token: given.token,
        expires_in: Math.max(1, Math.floor((given.endsAt - now()) / 1000)),
      });
    },
    appOf: (token) => {
      if (token === null || token === '') return { refusal: refuse(41001, 'access_token missing') };
      const app = owners.get(token);
      const given = app && current.get(app.secret);
      if (app === undefined || ended.has(token))
        return { refusal: refuse(40014, 'invalid access_token') };
      if (given?.token !== token || given.endsAt <= now())
        return { refusal: refuse(42001, 'access_token expired') };
      return { value: app };
    },
    revoke: () => {
      for (const { token } of current.values()) ended.add(token);
      current.clear();
    },
    clear: () => {
      current.clear();
      owners.clear();
      ended.clear();
      badSecrets.clear();
    },
  };
}
