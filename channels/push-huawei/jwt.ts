/**
 * The bearer token of a Huawei service account: a JWT signed here with PS256 (RFC 7518 3.5), reusable for its hour
 * (developer.huawei.com/consumer/cn/doc/harmonyos-guides/push-jwt-token).
 */
import { constants, createPrivateKey, sign, type KeyObject } from 'node:crypto';

export interface ServiceAccount {
  /** `key_id` of the key file. */
  readonly keyId: string;
  /** `sub_account` of the key file. */
  readonly subAccount: string;
  readonly key: KeyObject;
  /** `token_uri` of the key file: the audience. */
  readonly tokenUri: string;
}

export const tokenLifeSeconds = 3600;

/** A private key from a key file, also where its line ends are still written as `\n`. Errors: name the account, not the key. */
export function readPrivateKey(pem: string, accountId: string): KeyObject {
  try {
    const key = createPrivateKey(pem.replaceAll('\\n', '\n'));
    if (key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // what OpenSSL says may quote the key
  }
  throw new Error(`the secrets of account ${accountId} do not fit push-huawei: /privateKey`);
}

/** Makes a token that starts now. */
export function makeJwt(account: ServiceAccount, nowMs: number): string {
  const iat = Math.floor(nowMs / 1000);
  const input = [
    { kid: account.keyId, typ: 'JWT', alg: 'PS256' },
    { aud: account.tokenUri, iss: account.subAccount, exp: iat + tokenLifeSeconds, iat },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const signature = sign('sha256', Buffer.from(input), {
    key: account.key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: 32,
  });
  return `${input}.${signature.toString('base64url')}`;
}
