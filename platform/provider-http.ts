/**
 * The one HTTP client of connectors. It never retries, and its result says what a retry depends on: whether the request
 * may have reached the provider.
 */
import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { Pool, type Dispatcher } from 'undici';

/** Largest answer that is read; what is longer counts as lost. */
export const maxAnswerBytes = 1024 * 1024;

export interface ProviderHttpOptions {
  /** `https://host:port`; a path in it is ignored. */
  readonly origin: string;
  /** False: loopback, private, link-local and other special addresses are refused when connecting. */
  readonly allowPrivate: boolean;
  /** For one whole call: waiting for a connection, connecting, writing, and reading the answer to its end. */
  readonly timeoutMs: number;
  /** For TCP and TLS together; default 2000. */
  readonly connectTimeoutMs?: number;
  /** Connections kept at most, one request on each; default 128. */
  readonly maxConnections?: number;
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string;
}

export interface ProviderRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query, already encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export type ProviderAnswer =
  | {
      readonly kind: 'answer';
      readonly status: number;
      /** Names in lower case; a repeated header's values joined with a comma. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    }
  /** Surely not sent: no name, refused, TLS failed, no connection in time, a forbidden address. */
  | { readonly kind: 'not-sent'; readonly cause: string }
  /** Bytes may have left: timeout, reset, abort, or an answer that could not be read to its end. */
  | { readonly kind: 'lost'; readonly cause: string };

export interface ProviderHttp {
  /** One request. Never throws for what a network or provider does. */
  call(request: ProviderRequest): Promise<ProviderAnswer>;
  /** Waits for the calls in hand, then closes all connections. */
  close(): Promise<void>;
}

/** Makes a client with connections of its own for one origin and one account. Errors: an origin that is not an http(s) URL. */
export function createProviderHttp(options: ProviderHttpOptions): ProviderHttp {
  const { allowPrivate, timeoutMs, connectTimeoutMs = 2000, maxConnections = 128, ca } = options;
  const origin = new URL(options.origin);
  const host = origin.hostname.replace(/^\[|\]$/g, '');
  // A literal address is never looked up, so the guard in `lookup` does not see it.
  const isForbidden = !allowPrivate && isIP(host) !== 0 && isPrivateAddress(host);
  const pool = new Pool(origin.origin, {
    connections: maxConnections,
    pipelining: 1,
    // Our own deadline covers the whole call, exactly; undici's are coarse and only a second net.
    headersTimeout: timeoutMs + 1000,
    bodyTimeout: timeoutMs + 1000,
    connect: {
      timeout: connectTimeoutMs,
      ...(allowPrivate ? {} : { lookup: lookupPublic }),
      ...(ca === undefined ? {} : { ca }),
    },
  });
  return {
    call: async (request) =>
      isForbidden
        ? { kind: 'not-sent', cause: 'EPRIVATE: private addresses are not allowed' }
        : callOnce(pool, request, timeoutMs),
    close: () => pool.close(),
  };
}

function callOnce(
  pool: Pool,
  request: ProviderRequest,
  timeoutMs: number,
): Promise<ProviderAnswer> {
  const { method, path, headers, body = null, signal } = request;
  return new Promise((resolve) => {
    let controller: Dispatcher.DispatchController | undefined;
    let isSettled = false;
    const settle = (answer: ProviderAnswer) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(answer);
    };
    // undici calls onRequestStart immediately before it writes to a connected socket: until then, nothing has left.
    const giveUp = (cause: string) => {
      settle({ kind: controller === undefined ? 'not-sent' : 'lost', cause });
      controller?.abort(new Error(cause));
    };
    const onAbort = () => giveUp('aborted');
    const timer = setTimeout(() => giveUp(`no complete answer within ${timeoutMs} ms`), timeoutMs);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });

    const reader = createReader();
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart: (started) => {
        // Given up while it waited for a connection, or undici offers it to a second one: it must not be written.
        if (isSettled || controller !== undefined) {
          settle({ kind: 'lost', cause: 'connection lost' });
          return started.abort(new Error('given up'));
        }
        controller = started;
      },
      onResponseStart: (_, status, answerHeaders) => reader.start(status, answerHeaders),
      onResponseData: (_, chunk) => {
        if (!reader.add(chunk)) giveUp(`answer is longer than ${maxAnswerBytes} bytes`);
      },
      onResponseEnd: () => settle(reader.end()),
      onResponseError: (_, error) => giveUp(describe(error)),
    };
    pool.dispatch({ method, path, headers, body }, handler);
  });
}

function createReader() {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  let status = 0;
  let headers: Record<string, string> = {};
  return {
    start(answerStatus: number, raw: Record<string, string | string[] | undefined>): void {
      status = answerStatus;
      headers = Object.fromEntries(
        Object.entries(raw).map(([name, value]) => [name.toLowerCase(), [value].flat().join(', ')]),
      );
    },
    /** False once the answer is too long. */
    add(chunk: Buffer): boolean {
      sizeBytes += chunk.length;
      if (sizeBytes > maxAnswerBytes) return false;
      chunks.push(chunk);
      return true;
    },
    end: (): ProviderAnswer => ({
      kind: 'answer',
      status,
      headers,
      body: Buffer.concat(chunks).toString('utf8'),
    }),
  };
}

/** `Retry-After` in milliseconds (RFC 9110 10.2.3: seconds or a date), at most a day; undefined where it says nothing. */
export function retryAfterMs(
  headers: Readonly<Record<string, string>>,
  nowMs: number,
): number | undefined {
  const value = headers['retry-after'];
  if (value === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), 86_400_000);
}

/** Code and text of an error; undici and Node put no path or query into them. */
function describe(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return error.message === '' ? code : `${code}: ${error.message}`;
}

type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

/** DNS look-up that gives public addresses only, so that a name cannot lead to an inner one, not even by rebinding. */
export function lookupPublic(host: string, options: LookupOptions, callback: LookupCallback): void {
  dnsLookup(host, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, '');
    const allowed = addresses.filter(({ address }) => !isPrivateAddress(address));
    const [first] = allowed;
    if (first === undefined) {
      const refusal = new Error(`${host} has no public address, and private ones are not allowed`);
      return callback(Object.assign(refusal, { code: 'EPRIVATE' }), '');
    }
    if (options.all === true) return callback(null, allowed);
    callback(null, first.address, first.family);
  });
}

/** Special-purpose blocks of IANA's IPv4 and IPv6 registries that a provider never lives in. */
const privateBlocks = new BlockList();
for (const [address, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 3],
] as const)
  privateBlocks.addSubnet(address, bits, 'ipv4');
// The last three carry IPv4 addresses inside and could smuggle a private one.
for (const [address, bits] of [
  ['::', 127],
  ['fc00::', 7],
  ['fe80::', 9],
  ['ff00::', 8],
  ['64:ff9b::', 32],
  ['2002::', 16],
  ['::ffff:0:0:0', 96],
] as const)
  privateBlocks.addSubnet(address, bits, 'ipv6');

/** Whether an IP address is loopback, private, link-local, multicast or otherwise not on the public Internet. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.split('%')[0] ?? address;
  return privateBlocks.check(bare, isIPv6(bare) ? 'ipv6' : 'ipv4');
}
