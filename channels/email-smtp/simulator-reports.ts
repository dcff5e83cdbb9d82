/** The reports that mail servers and mailbox providers send back: RFC 3464 delivery status and RFC 5965 complaints. */
import { drawLatencyMs, type Random } from '../sandbox/random.ts';
import { createReceiptPusher, type ReceiptCounts } from '../sandbox/receipt-pusher.ts';
import type { MailServerSettings } from './simulator-settings.ts';

/** A mail that was taken, as far as reports need it. */
export interface ReportedMail {
  /** Envelope sender: where the report goes. */
  readonly sender: string;
  readonly recipient: string;
  readonly envid: string | undefined;
  readonly headers: string;
}

export type Report =
  | { readonly kind: 'delivered' | 'delayed' | 'complaint'; readonly mail: ReportedMail }
  /** `reply`: what the last server said. */
  | { readonly kind: 'failed'; readonly mail: ReportedMail; readonly reply: string };

export interface MailReports {
  /** Sends it after the receipt delay. */
  schedule(report: Report): void;
  /** Sends it now; resolves when the receiver has answered. */
  sendFirst(report: Report): Promise<void>;
  counts(): ReceiptCounts;
  clear(): void;
  close(): Promise<void>;
}

/** Hands each report to `receiptUrl` as a mail server's pipe does: raw, one in each call, again for some days. */
export function createMailReports(options: {
  readonly random: Random;
  readonly settings: () => MailServerSettings;
}): MailReports {
  const { random, settings } = options;
  const timers = new Set<NodeJS.Timeout>();
  const pusher = createReceiptPusher<string>({
    random,
    encode: ([mail = '']) => ({ contentType: 'message/rfc822', body: mail }),
    isAcknowledged: (status) => status >= 200 && status < 300,
    repeatAfterMs: [60_000, 300_000, 900_000, 3_600_000],
    settings: () => {
      const { receiptUrl, receiptsPaused, receiptDuplicateRate, clockScale } = settings();
      return {
        url: receiptUrl,
        isPaused: receiptsPaused,
        duplicateRate: receiptDuplicateRate,
        maxBatch: 1,
        clockScale,
      };
    },
  });
  const clear = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    pusher.clear();
  };
  return {
    schedule: (report) => {
      const { receiptMedianMs, receiptP99Ms, receiptLostRate, clockScale } = settings();
      if (report.mail.sender === '' || random() < receiptLostRate) return;
      const delayMs = drawLatencyMs({ medianMs: receiptMedianMs, p99Ms: receiptP99Ms }, random);
      const timer = setTimeout(() => {
        timers.delete(timer);
        pusher.add(writeReport(report, new Date()));
      }, delayMs / clockScale);
      timers.add(timer);
    },
    sendFirst: (report) => pusher.pushFirst(writeReport(report, new Date())),
    counts: pusher.counts,
    clear,
    close: async () => {
      clear();
      await pusher.close();
    },
  };
}

/** The report as a mail. */
export function writeReport(report: Report, at: Date): string {
  const date = at.toUTCString().replace('GMT', '+0000');
  const { mail } = report;
  const isComplaint = report.kind === 'complaint';
  const boundary = '=_report.sandbox';
  const headers = [
    'Return-Path: <>',
    `Delivered-To: ${mail.sender}`,
    `Date: ${date}`,
    `From: ${isComplaint ? 'feedback@mailbox.example' : 'MAILER-DAEMON@mx.sandbox.example'}`,
    `To: <${mail.sender}>`,
    `Subject: ${isComplaint ? 'Complaint' : 'Delivery Status Notification'}`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report;\r\n\treport-type=${isComplaint ? 'feedback-report' : 'delivery-status'};\r\n\tboundary="${boundary}"`,
  ];
  const parts = [
    ['Content-Type: text/plain; charset=us-ascii', '', `A report on mail to <${mail.recipient}>.`],
    isComplaint ? feedbackPart(mail, date) : statusPart(report, date),
    ['Content-Type: text/rfc822-headers', '', mail.headers],
  ];
  const body = parts.flatMap((part) => [`--${boundary}`, ...part, '']);
  return [...headers, '', ...body, `--${boundary}--`, ''].join('\r\n');
}

function statusPart(report: Report, date: string): readonly string[] {
  const { mail } = report;
  const { action, status, diagnostic } = statusOf(report);
  return [
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; mx.sandbox.example',
    ...(mail.envid === undefined ? [] : [`Original-Envelope-Id: ${mail.envid}`]),
    `Arrival-Date: ${date}`,
    '',
    `Original-Recipient: rfc822; ${mail.recipient}`,
    `Final-Recipient: rfc822; ${mail.recipient}`,
    `Action: ${action}`,
    `Status: ${status}`,
    `Diagnostic-Code: smtp; ${diagnostic}`,
  ];
}

function statusOf(report: Report) {
  switch (report.kind) {
    case 'failed': {
      const [, status = '5.0.0'] = report.reply.split(' ');
      const diagnostic = `${report.reply} <${report.mail.recipient}>`;
      return { action: 'failed', status, diagnostic };
    }
    case 'delayed':
      return { action: 'delayed', status: '4.4.1', diagnostic: '421 no answer from host' };
    case 'delivered':
    case 'complaint':
      return { action: 'delivered', status: '2.0.0', diagnostic: '250 2.0.0 OK' };
  }
}

const feedbackPart = (mail: ReportedMail, date: string): readonly string[] => [
  'Content-Type: message/feedback-report',
  '',
  'Feedback-Type: abuse',
  'User-Agent: sandbox/1.0',
  'Version: 1',
  `Original-Mail-From: <${mail.sender}>`,
  `Original-Rcpt-To: <${mail.recipient}>`,
  `Arrival-Date: ${date}`,
];
