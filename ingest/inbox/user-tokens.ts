/**
 * Tokens with which a person's own browser opens their inbox: made for one user, for a short time, kept nowhere. Sealed
 * rather than signed, so that one in an address tells nobody whose it is.
 */
import { Type } from 'typebox';
import type { Sealer } from '../../platform/seal.ts';
import { createValidator } from '../../platform/validate.ts';

export interface TokenHolder {
  readonly tenantId: string;
  readonly userId: string;
  readonly expiresAtMs: number;
}

export interface UserTokens {
  /** `mcu_…`, letters, digits, dots, dashes and underscores only. */
  issue(holder: TokenHolder): string;
  /** Whose it is; undefined: we did not make it. Whether it has expired is for the caller to see. */
  open(token: string): TokenHolder | undefined;
}

export const userTokenPrefix = 'mcu_';
const context = 'inbox-user-token';
const validator = createValidator(
  Type.Object({ tenantId: Type.String(), userId: Type.String(), expiresAtMs: Type.Integer() }),
);

export function createUserTokens(sealer: Sealer): UserTokens {
  return {
    issue: ({ tenantId, userId, expiresAtMs }) =>
      userTokenPrefix + sealer.seal(JSON.stringify({ tenantId, userId, expiresAtMs }), context),
    open: (token) => {
      if (!token.startsWith(userTokenPrefix)) return undefined;
      try {
        const text = sealer.open(token.slice(userTokenPrefix.length), context).toString('utf8');
        const holder: unknown = JSON.parse(text);
        return validator.check(holder) ? holder : undefined;
      } catch {
        return undefined;
      }
    },
  };
}
