/** Opens one SMTP session: a checked address, TLS as the account says, and the login. */
import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { connect as connectSocket, isIP, type Socket } from 'node:net';
import type { NodemailerError } from 'nodemailer';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { isPrivateAddress } from '../../platform/provider-http.ts';

export type SmtpSession = SMTPConnection;

export interface SmtpEndpoint {
  readonly host: string;
  readonly port: number;
  readonly security: 'tls' | 'starttls' | 'none';
  /** What we call ourselves in EHLO. */
  readonly name: string;
  readonly login: { readonly user: string; readonly pass: string } | undefined;
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca: string | undefined;
  /** Whether `host` may lead to loopback and private addresses. */
  readonly allowPrivate: boolean;
}

/** For TCP alone. */
const connectTimeoutMs = 5000;
/** From TCP to the greeting and the end of TLS; a server that delays its greeting against spammers takes seconds. */
const setupTimeoutMs = 12_000;
/** Silence on a session; only a second net, for every call has a deadline of its own. */
const socketTimeoutMs = 60_000;

/** An error in nodemailer's form. */
export function smtpError(code: string, message: string, originalCode?: string): NodemailerError {
  const command = { command: 'CONN' };
  return Object.assign(new Error(message), command, { code }, originalCode && { originalCode });
}

/** Errors: nodemailer's, or `signal.reason`; whatever was opened is closed again. */
export async function openSession(
  endpoint: SmtpEndpoint,
  signal: AbortSignal,
): Promise<SmtpSession> {
  const { host, port, security, name, login, ca } = endpoint;
  const socket = await openSocket(endpoint, signal);
  const session = new SMTPConnection({
    connection: socket,
    host,
    port,
    name,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    // The certificate must be the name's, whichever of its addresses was connected to.
    tls: {
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca }),
      minVersion: 'TLSv1.2',
    },
    connectionTimeout: setupTimeoutMs,
    greetingTimeout: setupTimeoutMs,
    socketTimeout: socketTimeoutMs,
    // Closing means now: half-sent mail must not be finished behind our back.
    socketCloseTimeout: 0,
    logger: false,
  });
  // Without a listener an error on an idle session would end the process.
  session.on('error', () => undefined);
  try {
    await step(session, signal, (done) => session.connect(done));
    if (login !== undefined)
      await step(session, signal, (done) => session.login({ ...login, credentials: login }, done));
    return session;
  } catch (error) {
    session.close();
    socket.destroy();
    throw error;
  }
}

/** One exchange of the set-up. nodemailer tells of a failure by its callback, by `error`, or only by `end`. */
function step(
  session: SmtpSession,
  signal: AbortSignal,
  start: (done: (error?: NodemailerError | null) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error | null) => {
      session.off('error', settle).off('end', onEnd);
      signal.removeEventListener('abort', onAbort);
      if (error) reject(error);
      else resolve();
    };
    const onAbort = () => settle(signal.reason as Error);
    // A callback with the reason may follow in the same turn.
    const onEnd = () => setImmediate(settle, smtpError('ECONNECTION', 'connection closed'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    session.once('error', settle).once('end', onEnd);
    start(settle);
  });
}

function openSocket(endpoint: SmtpEndpoint, signal: AbortSignal): Promise<Socket> {
  const { host, port, allowPrivate } = endpoint;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    // A literal address is never looked up.
    if (!allowPrivate && isIP(host) !== 0 && isPrivateAddress(host))
      return reject(smtpError('EPRIVATE', 'private addresses are not allowed'));
    const socket = connectSocket({ host, port, ...(!allowPrivate && { lookup: lookupPublic }) });
    const fail = (error: Error) => {
      detach();
      socket.on('error', () => undefined).destroy();
      reject(error);
    };
    const onAbort = () => fail(signal.reason as Error);
    const onError = (error: NodeJS.ErrnoException) => {
      const code = error.code ?? '';
      if (code === 'EPRIVATE') return fail(error);
      const kind = error.syscall === 'getaddrinfo' ? 'EDNS' : 'ESOCKET';
      fail(smtpError(kind, error.message || 'no connection', code));
    };
    const onTimeout = () =>
      fail(smtpError('ETIMEDOUT', `no connection within ${connectTimeoutMs} ms`));
    const detach = () => {
      socket.off('error', onError).off('timeout', onTimeout).setTimeout(0);
      signal.removeEventListener('abort', onAbort);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.setTimeout(connectTimeoutMs).on('timeout', onTimeout).on('error', onError);
    socket.once('connect', () => {
      detach();
      resolve(socket);
    });
  });
}

type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

/** Gives public addresses only, so that a name cannot lead to an inner server, not even by rebinding. */
function lookupPublic(host: string, options: LookupOptions, callback: LookupCallback): void {
  dnsLookup(host, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, '');
    const allowed = addresses.filter(({ address }) => !isPrivateAddress(address));
    const [first] = allowed;
    if (first === undefined)
      return callback(smtpError('EPRIVATE', 'the host has no public address'), '');
    if (options.all === true) return callback(null, allowed);
    callback(null, first.address, first.family);
  });
}
