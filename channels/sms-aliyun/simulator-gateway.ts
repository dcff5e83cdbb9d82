/** The gateway in front of the simulated API: checks an ACS3 request as strictly as the real one. */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { acs3Signature, apiVersion, sha256Hex, signatureAlgorithm } from './sign.ts';
import { createCallMeter } from './simulator-limits.ts';

/** What the API answers instead of doing it. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface GatewayRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface AdmittedCall {
  readonly accessKeyId: string;
  readonly action: string;
  /** Parameters of query and form body. */
  readonly params: Readonly<Record<string, string>>;
}

const skewMs = 15 * 60_000;
const maxNonces = 200_000;
const authorizationPattern = new RegExp(
  `^${signatureAlgorithm} Credential=([^,]+), ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$`,
);

/** Makes a gateway over registered credentials; real time, because callers sign real dates. */
export function createGateway(options: {
  readonly secretOf: (accessKeyId: string) => string | undefined;
  readonly qps: () => number;
  readonly now: () => number;
}) {
  const { secretOf, now } = options;
  const nonces = new Map<string, number>();
  const meter = createCallMeter(now);

  const isReplayed = (nonce: string): boolean => {
    if (nonces.has(nonce)) return true;
    nonces.set(nonce, now());
    for (const [old, at] of nonces) {
      if (nonces.size <= maxNonces && at > now() - 2 * skewMs) break;
      nonces.delete(old);
    }
    return false;
  };

  return {
    /** The admitted call, or the refusal that the real gateway would give. */
    admit(request: GatewayRequest): AdmittedCall | Refusal {
      const { method, headers, body } = request;
      const url = new URL(request.url, 'http://gateway');
      const text = (name: string) => [headers[name] ?? ''].flat().join(',');
      const credential = authorizationPattern.exec(text('authorization'));
      if (credential === null)
        return refuse(400, 'IncompleteSignature', 'The request signature is not complete.');
      const [, accessKeyId = '', signedNames = '', signature = ''] = credential;
      const secret = secretOf(accessKeyId);
      if (secret === undefined)
        return refuse(404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.');

      const names = signedNames.split(';');
      const query = Object.fromEntries(url.searchParams);
      const wanted = acs3Signature({
        method,
        path: url.pathname,
        query,
        headers: Object.fromEntries(names.map((name) => [name, text(name)])),
        bodyHash: text('x-acs-content-sha256'),
        accessKeySecret: secret,
      });
      const mustSign = Object.keys(headers).filter(
        (name) => name === 'host' || name === 'content-type' || name.startsWith('x-acs-'),
      );
      const isGenuine =
        mustSign.every((name) => names.includes(name)) &&
        text('x-acs-content-sha256') === sha256Hex(body) &&
        timingSafeEqual(Buffer.from(wanted), Buffer.from(signature));
      if (!isGenuine)
        return refuse(
          400,
          'SignatureDoesNotMatch',
          `Specified signature is not matched with our calculation. server string to sign is:${method}\n${url.pathname}\n${url.search.slice(1)}`,
        );
      const date = text('x-acs-date');
      const dateMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(date) ? Date.parse(date) : NaN;
      if (!(Math.abs(now() - dateMs) <= skewMs))
        return refuse(
          400,
          'InvalidTimeStamp.Expired',
          'Specified time stamp or date value is expired.',
        );
      if (text('x-acs-signature-nonce') === '' || isReplayed(text('x-acs-signature-nonce')))
        return refuse(400, 'SignatureNonceUsed', 'Specified signature nonce was used already.');
      if (text('x-acs-version') !== apiVersion)
        return refuse(400, 'InvalidVersion', 'Specified parameter Version is not valid.');
      if (method !== 'POST')
        return refuse(405, 'UnsupportedHTTPMethod', 'This http method is not supported.');
      const waitMs = meter.take(accessKeyId, options.qps());
      if (waitMs !== undefined)
        return {
          ...refuse(400, 'Throttling.User', 'Request was denied due to user flow control.'),
          headers: { 'x-acs-retry-after': String(waitMs) },
        };
      const isForm = text('content-type').startsWith('application/x-www-form-urlencoded');
      const form = isForm ? Object.fromEntries(new URLSearchParams(body.toString('utf8'))) : {};
      return { accessKeyId, action: text('x-acs-action'), params: { ...query, ...form } };
    },
    clear(): void {
      nonces.clear();
      meter.clear();
    },
  };
}

/** Builds a refusal. */
export function refuse(status: number, code: string, message: string): Refusal {
  return { status, code, message };
}

export function isRefusal(value: object): value is Refusal {
  return 'code' in value && 'status' in value;
}
