/**
 * Alibaba Cloud's request signature V3, ACS3-HMAC-SHA256
 * (help.aliyun.com/document_detail/2593177.html; checked against the official example and SDK).
 */
import { createHash, createHmac, randomUUID } from 'node:crypto';

export const signatureAlgorithm = 'ACS3-HMAC-SHA256';
export const apiVersion = '2017-05-25';

/** RFC 3986 encoding: what encodeURIComponent leaves over is escaped as well. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Parameters sorted by name and encoded: the query as it is signed and as it is sent. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.keys(query)
    .sort()
    .map((name) => `${percentEncode(name)}=${percentEncode(query[name] ?? '')}`)
    .join('&');
}

/** SHA-256 in lower-case hex. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

export interface SignatureInput {
  readonly method: string;
  /** Path as the provider sees it, without a base path of ours. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** The signed headers, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** What x-acs-content-sha256 says of the body. */
  readonly bodyHash: string;
  readonly accessKeySecret: string;
}

/** The signature in hex over a request's canonical form; pure, so that either side can compute it. */
export function acs3Signature(input: SignatureInput): string {
  const names = Object.keys(input.headers).sort();
  const canonical = [
    input.method,
    input.path,
    canonicalQuery(input.query),
    names.map((name) => `${name}:${(input.headers[name] ?? '').trim()}\n`).join(''),
    names.join(';'),
    input.bodyHash,
  ].join('\n');
  return createHmac('sha256', input.accessKeySecret)
    .update(`${signatureAlgorithm}\n${sha256Hex(canonical)}`)
    .digest('hex');
}

export interface SignedCall {
  readonly host: string;
  readonly action: string;
  readonly version?: string;
  readonly query: Readonly<Record<string, string>>;
  /** A form, encoded as `canonicalQuery` does; absent: an empty body. */
  readonly body?: string;
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** ISO time in whole seconds; default now. */
  readonly date?: string;
  /** Used once only; default random. */
  readonly nonce?: string;
}

/** Headers of a signed POST to `/`; the query travels as `canonicalQuery` writes it. */
export function signAcs3(call: SignedCall): Record<string, string> {
  const bodyHash = sha256Hex(call.body ?? '');
  const headers = {
    ...(call.body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
    host: call.host,
    'x-acs-action': call.action,
    'x-acs-content-sha256': bodyHash,
    'x-acs-date': call.date ?? new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
    'x-acs-signature-nonce': call.nonce ?? randomUUID(),
    'x-acs-version': call.version ?? apiVersion,
  };
  const signature = acs3Signature({
    method: 'POST',
    path: '/',
    query: call.query,
    headers,
    bodyHash,
    accessKeySecret: call.accessKeySecret,
  });
  const signedHeaders = Object.keys(headers).sort().join(';');
  return {
    ...headers,
    accept: 'application/json',
    authorization: `${signatureAlgorithm} Credential=${call.accessKeyId},SignedHeaders=${signedHeaders},Signature=${signature}`,
  };
}
