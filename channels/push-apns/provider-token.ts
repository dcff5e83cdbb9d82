/** The token APNs is called with: a JWT signed ES256 with the team's key, made by us and shared by all processes. */
import { createPrivateKey, sign } from 'node:crypto';
import { TokenRefused } from '../../platform/provider-tokens.ts';
import type { FetchedToken } from '../../contracts/channel.ts';

/**
 * APNs takes a token for an hour and wants a new one at most every 20 minutes; the token store renews five minutes
 * before the end it is told: at 50.
 */
const lifeMs = 55 * 60_000;

export interface TokenKeyMaterial {
  readonly teamId: string;
  readonly keyId: string;
  /** PEM of the .p8 file. */
  readonly privateKey: string;
}

/** Makes a token. Errors: TokenRefused where the key is not a P-256 key. */
export function makeProviderToken(material: TokenKeyMaterial, nowMs: number): FetchedToken {
  const { teamId, keyId, privateKey } = material;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const data = `${part({ alg: 'ES256', kid: keyId })}.${part({ iss: teamId, iat: Math.floor(nowMs / 1000) })}`;
  const key = keyOf(privateKey);
  const signature = sign('sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' });
  return { token: `${data}.${signature.toString('base64url')}`, expiresInMs: lifeMs };
}

function keyOf(privateKey: string) {
  try {
    const key = createPrivateKey(privateKey);
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // Said below, without a word of the key.
  }
  throw new TokenRefused({
    class: 'auth-invalid',
    providerMessage: 'privateKey is not a P-256 key in a .p8 file',
  });
}
