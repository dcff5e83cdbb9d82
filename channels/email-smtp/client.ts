/** The live client of one SMTP account: one mail is one transaction, never repeated here. */
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { classifyAccepted, classifyFailure, type SmtpError } from './classify.ts';
import { createComposer, domainOf } from './compose.ts';
import { openSession, smtpError, type SmtpEndpoint, type SmtpSession } from './connect.ts';
import {
  isPlainMailbox,
  type MailContent,
  type SmtpSecrets,
  type SmtpSettings,
} from './schemas.ts';
import { createSessions, sayGoodbye, type SessionState } from './sessions.ts';
import { transfer, type Transfer } from './transfer.ts';

/** For one whole send: waiting for a session, opening it, and the mail up to the server's answer. */
export const callTimeoutMs = 20_000;

const defaultMaxConnections = 5;

export interface ClientOptions {
  readonly account: AccountAccess<SmtpSettings, SmtpSecrets>;
  readonly allowPrivateProviders: boolean;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Opens nothing yet; sessions are opened when mail comes and closed when none came for a while. */
export function createEmailSmtpClient(options: ClientOptions): ConnectorClient<MailContent> {
  const { account, allowPrivateProviders, random } = options;
  const { settings, secrets } = account;
  const endpoint = endpointOf(account, allowPrivateProviders);
  const compose = createComposer(settings, secrets.dkim);
  const sessions = createSessions({
    open: (signal) => openSession(endpoint, signal),
    maxConnections: settings.maxConnections ?? defaultMaxConnections,
  });
  const inHand = new Set<Promise<unknown>>();
  const hold = <T>(work: Promise<T>): Promise<T> => {
    inHand.add(work);
    return work.finally(() => inHand.delete(work));
  };
  const misconfigured: SendOutcome | undefined =
    settings.security === 'none' && !allowPrivateProviders
      ? { class: 'auth-invalid', providerMessage: 'plain SMTP is not allowed: set security' }
      : undefined;
  let isClosed = false;

  const attempt = async (
    { to, content, deliveryKey }: SendRequest<MailContent>,
    signal: AbortSignal,
  ): Promise<SendOutcome> => {
    const address = addressAs('email', to) ?? '';
    const mail = await compose({ address, content, deliveryKey });
    if ('class' in mail) return mail;
    const failed = (error: SmtpError, dotMayHaveLeft: boolean) =>
      classifyFailure(error, { to, dotMayHaveLeft, jitter: random() });
    let session: SmtpSession;
    try {
      signal.throwIfAborted();
      session = await sessions.take(signal);
    } catch (error) {
      return failed(error as SmtpError, false);
    }
    const done = await transfer(session, mail, signal);
    void hold(sessions.give(session, stateAfter(done)));
    return done.result === 'taken'
      ? classifyAccepted(done, mail.messageId, to)
      : failed(done.error, done.dotMayHaveLeft);
  };

  return {
    send: async (request) => {
      const fault = addressFault(request.to);
      if (fault !== undefined) return { class: 'recipient-invalid', providerMessage: fault };
      if (misconfigured !== undefined) return misconfigured;
      if (isClosed) return { class: 'transient', providerMessage: 'the client is closed' };
      return hold(withDeadline(request.signal, (signal) => attempt(request, signal)));
    },
    verify: async (outer) => {
      if (misconfigured !== undefined) return misconfigured;
      return withDeadline(outer, async (signal) => {
        try {
          sayGoodbye(await openSession(endpoint, signal));
          return { class: 'accepted', providerId: `${settings.host}:${settings.port}` };
        } catch (error) {
          const to = { email: settings.from.address };
          return classifyFailure(error as SmtpError, {
            to,
            dotMayHaveLeft: false,
            jitter: random(),
          });
        }
      });
    },
    close: async () => {
      isClosed = true;
      sessions.close();
      while (inHand.size > 0) await Promise.allSettled(inHand);
    },
  };
}

/** Says what about an address cannot be written in SMTP everywhere, or undefined. */
export function addressFault(to: To): string | undefined {
  const address = addressAs('email', to);
  if (address === undefined) return 'not a mail address';
  return isPlainMailbox(address)
    ? undefined
    : 'the name before the @ needs quotes or SMTPUTF8, which few servers take';
}

function endpointOf(
  { settings, secrets }: AccountAccess<SmtpSettings, SmtpSecrets>,
  allowPrivate: boolean,
): SmtpEndpoint {
  const { host, port, security, from, ca } = settings;
  const { user, password: pass } = secrets;
  const login = user === undefined || pass === undefined ? undefined : { user, pass };
  return { host, port, security, name: domainOf(from.address), login, ca, allowPrivate };
}

/** A refusal leaves the session usable; anything else may have left half a mail on it. */
function stateAfter(done: Transfer): SessionState {
  if (done.result === 'taken') return 'clean';
  const { code, responseCode } = done.error;
  const isRefusal =
    (code === 'EENVELOPE' || code === 'EMESSAGE') &&
    responseCode !== undefined &&
    responseCode >= 400 &&
    responseCode !== 421;
  return isRefusal ? 'refused' : 'broken';
}

/** Runs with a signal that ends when the caller's does, or after `callTimeoutMs`. */
async function withDeadline<T>(
  outer: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onAbort = () => controller.abort(smtpError('EABORT', 'aborted'));
  const timer = setTimeout(
    () => controller.abort(smtpError('ETIMEDOUT', `no answer within ${callTimeoutMs} ms`)),
    callTimeoutMs,
  );
  if (outer.aborted) onAbort();
  outer.addEventListener('abort', onAbort, { once: true });
  try {
    return await run(controller.signal);
  } finally {
    clearTimeout(timer);
    outer.removeEventListener('abort', onAbort);
  }
}
