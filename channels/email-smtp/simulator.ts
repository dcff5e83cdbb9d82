/**
 * A simulated submission server and the mailboxes behind it, on a port of its own. It remembers what it took and what
 * mailboxes show, and sends bounces, delivery reports and complaints to the receipt address.
 */
import { Type } from 'typebox';
import { controlRoute } from '../sandbox/control.ts';
import { createFaultPlan, type FaultPlan, type FaultRule } from '../sandbox/faults.ts';
import {
  bookRoutes,
  createBooks,
  faultRoutes,
  shownOf,
  type ProviderBooks,
} from '../sandbox/provider.ts';
import { createRandom, drawLatencyMs } from '../sandbox/random.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import { checkMail } from './simulator-mail.ts';
import { createMailReports, type MailReports, type Report } from './simulator-reports.ts';
import { listenMail, type Answer, type ReceivedMail } from './simulator-server.ts';
import {
  defaultMaxMailBytes,
  magicNames,
  MailServerSettingsSchema,
  mailServerDefaults,
  nameOf,
  type MailServerAccount,
  type MailServerSettings,
} from './simulator-settings.ts';

export interface EmailSmtpSimulatorOptions {
  readonly seed?: number;
  /** User → password and domains. */
  readonly accounts?: Readonly<Record<string, MailServerAccount>>;
  readonly settings?: Partial<MailServerSettings>;
  /** Largest mail; default 25 MB. */
  readonly maxMailBytes?: number;
  /** Whether EHLO leaves it out, so that clients only learn it by the refusal. */
  readonly hidesMaxMailBytes?: boolean;
}

export interface EmailSmtpSimulator extends Simulator, ProviderBooks {
  readonly faults: FaultPlan;
  readonly reports: Pick<MailReports, 'counts'>;
  /** The bytes of the newest mail with this reference, as they came. */
  rawOf(ref: string): Buffer | undefined;
  configure(change: Partial<MailServerSettings>): MailServerSettings;
}

const name = 'email-smtp';
const maxKeptMails = 1000;

/** Makes it; it listens once the sandbox calls `listen`. */
export function createEmailSmtpSimulator(
  options: EmailSmtpSimulatorOptions = {},
): EmailSmtpSimulator {
  const random = createRandom(options.seed ?? 1);
  const faults = createFaultPlan(random);
  const books = createBooks();
  let initial = { ...mailServerDefaults, ...options.settings };
  let settings = initial;
  const accounts = new Map(Object.entries(options.accounts ?? {}));
  const reports = createMailReports({ random, settings: () => settings });
  const greys = new Set<string>();
  const mails = new Map<string, Buffer>();
  let lastId = 0;

  /** Writes it into the books and says what the server answers when nothing goes wrong. */
  const take = async (mail: ReceivedMail, fault: FaultRule | undefined): Promise<Answer> => {
    const { raw, user, session } = mail;
    const checked = await checkMail(raw, {
      domains: accounts.get(user)?.domains ?? [],
      is8BitAllowed: session.envelope.bodyType === '8bitmime',
    });
    if (checked.result === 'refused') return { kind: 'reply', reply: checked.reply };
    if (raw.length > (options.maxMailBytes ?? defaultMaxMailBytes))
      return { kind: 'reply', reply: '552 5.3.4 the mail is too big' };
    lastId += 1;
    const providerId = `SBX${String(lastId).padStart(8, '0')}`;
    const { ref, text } = checked;
    keep(mails, ref, raw);
    for (const { address: to, dsn } of session.envelope.rcptTo) {
      const refused: Readonly<Record<string, string>> = magicNames.refusedAtDot;
      const reply = Object.hasOwn(refused, nameOf(to)) ? refused[nameOf(to)] : undefined;
      if (reply !== undefined) return { kind: 'reply', reply };
      books.accepted.add({ at: Date.now(), to, ref, providerId, text });
      const report = reportOn(mail, to, dsn?.notify);
      const isLost = fault?.kind === 'silent-drop';
      if (!isLost && report?.kind !== 'failed')
        books.device.add({ at: Date.now(), to, ref, text, shown: 1, isGone: false });
      if (isLost || report === undefined) continue;
      if (fault?.kind === 'receipt-first') await reports.sendFirst(report);
      else reports.schedule(report);
    }
    return { kind: 'reply', reply: `250 2.0.0 OK: queued as ${providerId}` };
  };

  const receive = async (mail: ReceivedMail): Promise<Answer> => {
    const to = mail.session.envelope.rcptTo.map(({ address }) => address);
    const fault = faults.take({ action: 'DATA', to });
    const note = (code: string) =>
      books.calls.add({ at: Date.now(), action: 'DATA', code, to: to.join(',').slice(0, 200) });
    const { latencyMedianMs: medianMs, latencyP99Ms: p99Ms } = settings;
    const isSlow = to.some((address) => nameOf(address) === magicNames.slow);
    const delayMs = drawLatencyMs({ medianMs, p99Ms }, random) + (isSlow ? settings.slowMs : 0);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    const instead = fault === undefined ? undefined : playedInstead(fault);
    if (fault !== undefined && instead !== undefined) {
      note(fault.kind);
      return instead;
    }
    const answer = await take(mail, fault);
    const isTaken = answer.kind === 'reply' && answer.reply.startsWith('250');
    note(isTaken ? 'OK' : answer.kind === 'reply' ? answer.reply.slice(0, 3) : answer.kind);
    if (!isTaken) return answer;
    if (to.some((address) => nameOf(address) === magicNames.dropAfterDot)) return { kind: 'reset' };
    return fault === undefined ? answer : playedAfter(fault, answer);
  };

  const configure = (change: Partial<MailServerSettings>) =>
    (settings = { ...settings, ...change });
  const reset = () => {
    settings = initial;
    faults.clear();
    greys.clear();
    mails.clear();
    reports.clear();
    for (const ledger of [books.accepted, books.device, books.calls]) ledger.clear();
  };

  return {
    ...books,
    name,
    faults,
    reports,
    rawOf: (ref) => mails.get(ref),
    configure,
    listen: (address) =>
      listenMail(
        {
          accounts,
          maxMailBytes: options.maxMailBytes ?? defaultMaxMailBytes,
          hidesMaxMailBytes: options.hidesMaxMailBytes ?? false,
          receive,
          note: (call) => books.calls.add({ at: Date.now(), ...call }),
          isKnownGrey: (address) => greys.has(address) || !greys.add(address),
        },
        address,
      ),
    routes: [
      ...bookRoutes(name, books),
      ...faultRoutes(name, faults),
      controlRoute({ method: 'GET', path: `/${name}/settings`, handle: () => settings }),
      controlRoute({
        method: 'PUT',
        path: `/${name}/settings`,
        body: Type.Partial(MailServerSettingsSchema, { additionalProperties: false }),
        handle: ({ body }) => configure(body as Partial<MailServerSettings>),
      }),
      controlRoute({
        method: 'GET',
        path: `/${name}/raw`,
        handle: ({ query }) => ({
          raw: mails.get(query.get('ref') ?? '')?.toString('latin1') ?? null,
        }),
      }),
      controlRoute({ method: 'GET', path: `/${name}/reports`, handle: () => reports.counts() }),
      controlRoute({ method: 'POST', path: `/${name}/reset`, handle: () => reset() }),
    ],
    pushReceiptsTo: ({ [name]: receiptUrl }) => {
      if (receiptUrl === undefined) return;
      initial = { ...initial, receiptUrl };
      configure({ receiptUrl });
    },
    shown: (limit) => shownOf(books, limit),
    reset,
    close: () => reports.close(),
  };
}

/** What becomes of a mail later, if anybody is told. `notify`: RFC 3461; absent means failure. */
function reportOn(
  { raw, session }: ReceivedMail,
  recipient: string,
  notify: readonly string[] = ['FAILURE'],
): Report | undefined {
  const { mailFrom, dsn } = session.envelope;
  const mail = {
    sender: mailFrom === false ? '' : mailFrom.address,
    recipient,
    envid: dsn?.envid ?? undefined,
    headers: raw.toString('latin1').split('\r\n\r\n')[0] ?? '',
  };
  const bounced: Readonly<Record<string, string>> = magicNames.bouncedLater;
  const reply = Object.hasOwn(bounced, nameOf(recipient)) ? bounced[nameOf(recipient)] : undefined;
  if (reply !== undefined)
    return notify.includes('FAILURE') ? { kind: 'failed', mail, reply } : undefined;
  if (nameOf(recipient) === magicNames.complains) return { kind: 'complaint', mail };
  if (nameOf(recipient) === magicNames.delayedLater)
    return notify.includes('DELAY') ? { kind: 'delayed', mail } : undefined;
  return notify.includes('SUCCESS') ? { kind: 'delivered', mail } : undefined;
}

/** The answer of a fault that comes before the mail is taken, or undefined. All of them come after the final dot. */
function playedInstead(fault: FaultRule): Answer | undefined {
  switch (fault.kind) {
    case 'error':
      return { kind: 'reply', reply: errorReply(fault) };
    case 'reset':
      return { kind: 'reset' };
    case 'html-502':
      return { kind: 'page' };
    case 'accept-then-error':
    case 'accept-then-reset':
    case 'accept-then-hang':
    case 'slow-body':
    case 'html-200':
    case 'silent-drop':
    case 'receipt-first':
      return undefined;
  }
}

function playedAfter(fault: FaultRule, answer: Extract<Answer, { kind: 'reply' }>): Answer {
  switch (fault.kind) {
    case 'accept-then-error':
      return { kind: 'reply', reply: errorReply(fault) };
    case 'accept-then-reset':
      return { kind: 'reset' };
    case 'accept-then-hang':
      return { kind: 'hang' };
    case 'slow-body':
      return { ...answer, kind: 'drip' };
    case 'html-200':
      return { kind: 'page' };
    case 'error':
    case 'reset':
    case 'html-502':
    case 'silent-drop':
    case 'receipt-first':
      return answer;
  }
}

/** `code` of a rule is reply and status (`452 4.3.1`); `status` alone is the reply code; default 451 4.3.0. */
function errorReply({ code, status, message = 'as the sandbox was told' }: FaultRule): string {
  return `${code ?? (status === undefined ? '451 4.3.0' : status)} ${message}`;
}

function keep(mails: Map<string, Buffer>, ref: string, raw: Buffer): void {
  mails.delete(ref);
  mails.set(ref, raw);
  const [oldest] = mails.keys();
  if (mails.size > maxKeptMails && oldest !== undefined) mails.delete(oldest);
}
