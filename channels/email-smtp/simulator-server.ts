/** The SMTP side of the simulated server, on `smtp-server`: who may log in, send, and to whom; and how faults look on the wire. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import type { OwnListener } from '../sandbox/simulator.ts';
import { magicNames, nameOf, type MailServerAccount } from './simulator-settings.ts';

/** A mail as it came over the wire. */
export interface ReceivedMail {
  readonly raw: Buffer;
  readonly user: string;
  readonly session: SMTPServerSession;
}

/** What the server does with a mail: a reply (`250 …`, `554 …`), or something that is none. */
export type Answer =
  | { readonly kind: 'reply'; readonly reply: string }
  | { readonly kind: 'reset' | 'hang' | 'page' }
  /** The reply, one byte each 250 ms. */
  | { readonly kind: 'drip'; readonly reply: string };

export interface MailServerOptions {
  readonly accounts: ReadonlyMap<string, MailServerAccount>;
  readonly maxMailBytes: number;
  readonly hidesMaxMailBytes: boolean;
  readonly receive: (mail: ReceivedMail) => Promise<Answer>;
  /** Told of what was refused before a mail came. */
  readonly note: (call: { action: string; code: string; to: string }) => void;
  /** Whether grey@ was here before. */
  readonly isKnownGrey: (address: string) => boolean;
}

const page = '<html><head><title>502 Bad Gateway</title></head></html>\r\n';
const dripMs = 250;

/** Listens. Errors: the port is taken. */
export async function listenMail(
  options: MailServerOptions,
  address: { readonly host: string; readonly port: number },
): Promise<OwnListener> {
  // smtp-server shows handlers no socket; faults need it, and the client's port tells which it is.
  const sockets = new Map<number, Socket>();
  const smtp = createSmtp(options, (session) => sockets.get(session.remotePort));
  const server = createServer((socket) => {
    const { remotePort = 0 } = socket;
    sockets.set(remotePort, socket);
    socket.on('close', () => sockets.delete(remotePort));
    smtp.connect(socket);
  });
  const start = async (port: number) => {
    server.listen({ host: address.host, port, backlog: 1024 });
    await once(server, 'listening');
  };
  const stop = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets.values()) socket.destroy();
    await closed;
  };
  await start(address.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `smtp://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`,
    setListening: async (isListening) => {
      if (!isListening) return stop();
      if (!server.listening) await start(port);
    },
    close: stop,
  };
}

/** `550 5.1.1 text` as smtp-server wants it. */
function refusal(reply: string): Error & { responseCode: number } {
  return Object.assign(new Error(reply.slice(4)), { responseCode: Number(reply.slice(0, 3)) });
}

function createSmtp(
  options: MailServerOptions,
  socketOf: (session: SMTPServerSession) => Socket | undefined,
): SMTPServer {
  const { accounts, note } = options;
  const accountOf = (session: SMTPServerSession) => accounts.get(String(session.user));
  const smtp = new SMTPServer({
    banner: 'sandbox',
    authMethods: ['PLAIN', 'LOGIN'],
    hideSTARTTLS: true,
    hideSMTPUTF8: true,
    hideDSN: false,
    // Its own choice of enhanced codes is coarse; ours are in the texts.
    hideENHANCEDSTATUSCODES: true,
    hideSize: options.hidesMaxMailBytes,
    size: options.maxMailBytes,
    disableReverseLookup: true,
    logger: false,
    // A hanging answer is a fault under test, so the server itself must not end it.
    socketTimeout: 600_000,
    onAuth: ({ username = '', password }, _, callback) => {
      const account = accounts.get(username);
      if (account !== undefined && account.password === password)
        return callback(null, { user: username });
      note({ action: 'AUTH', code: '535', to: '' });
      callback(refusal('535 5.7.8 authentication failed'));
    },
    onMailFrom: ({ address }, session, callback) => {
      const domain = address.split('@').at(-1)?.toLowerCase() ?? '';
      if (accountOf(session)?.domains.includes(domain) === true) return callback();
      note({ action: 'MAIL', code: '553', to: '' });
      callback(refusal('553 5.7.1 sender is not of this account'));
    },
    onRcptTo: ({ address }, session, callback) => {
      const reply = refusedRecipient(options, address);
      if (reply === undefined) return callback();
      if (reply !== 'drop') {
        note({ action: 'RCPT', code: reply.slice(0, 3), to: address });
        return callback(refusal(reply));
      }
      note({ action: 'RCPT', code: magicNames.dropBeforeData, to: address });
      socketOf(session)?.resetAndDestroy();
    },
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => void chunks.push(chunk));
      stream.on('error', () => undefined); // the client left in the middle of the mail
      stream.on('end', () => {
        const raw = Buffer.concat(chunks);
        const finish = (answer: Answer) => {
          const socket = socketOf(session);
          if (answer.kind !== 'reply') return play(answer, socket);
          if (answer.reply.startsWith('2')) return callback(null, answer.reply.slice(4));
          callback(refusal(answer.reply));
        };
        options
          .receive({ raw, user: String(session.user), session })
          .then(finish, () => finish({ kind: 'reply', reply: '451 4.3.0 local error' }));
      });
    },
  });
  // Broken connections are the client's business.
  smtp.on('error', () => undefined);
  return smtp;
}

/** The reply that refuses a recipient, `drop` for a connection that breaks, or undefined. */
function refusedRecipient(options: MailServerOptions, address: string): string | undefined {
  const name = nameOf(address);
  const refusals: Readonly<Record<string, string>> = magicNames.refusedAtRcpt;
  if (Object.hasOwn(refusals, name)) return refusals[name];
  if (name === 'grey' && !options.isKnownGrey(address)) return magicNames.grey;
  if (name === magicNames.dropBeforeData) return 'drop';
  if (!/^[\u0021-\u007e]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/.test(address))
    return '553 5.1.3 bad address';
  return undefined;
}

/** Anything but a reply; smtp-server goes on waiting for its handler until the client leaves. */
function play(answer: Exclude<Answer, { kind: 'reply' }>, socket: Socket | undefined): void {
  switch (answer.kind) {
    case 'reset':
      return void socket?.resetAndDestroy();
    case 'hang':
      return;
    case 'page':
      return void socket?.write(page);
    case 'drip': {
      const bytes = Buffer.from(`${answer.reply.padEnd(120)}\r\n`);
      let sent = 0;
      const timer = setInterval(() => {
        socket?.write(bytes.subarray(sent, sent + 1));
        sent += 1;
        if (sent === bytes.length) clearInterval(timer);
      }, dripMs);
      socket?.on('close', () => clearInterval(timer));
    }
  }
}
