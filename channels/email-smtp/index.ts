/** Mail through any SMTP server: the connector `email-smtp`. docs/channels/email-smtp.md explains it. */
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { checkAccount } from '../kit/check-account.ts';
import { addressFault, callTimeoutMs, createEmailSmtpClient } from './client.ts';
import { parseReceipts } from './receipts.ts';
import { ContentSchema, SecretsSchema, SettingsSchema, type MailContent } from './schemas.ts';

export interface EmailSmtpDeps {
  /** Whether `host` may lead to loopback and private addresses, and whether plain SMTP is allowed. */
  readonly allowPrivateProviders: boolean;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createEmailSmtp(deps: EmailSmtpDeps): Connector {
  const { allowPrivateProviders, now = Date.now, random = Math.random } = deps;
  return {
    name: 'email-smtp',
    channel: 'email',
    addressKinds: ['email'],
    capabilities: {
      dedupe: { by: 'none' },
      receipts: 'push',
      askReceiptsAfterMs: [],
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs: 0,
      callTimeoutMs,
      attemptBudget: 8,
      recipientWindows: { otp: [], notice: [], marketing: [] },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText,
    addressFault,
    createClient: (account) =>
      createEmailSmtpClient({ account: checked(account), allowPrivateProviders, random }),
    parseReceipts: (request, account) =>
      parseReceipts(request, { token: checked(account).secrets.receiptToken, now }),
  };
}

/** Subject and text; the words of the HTML where there is no text. */
function contentText(content: unknown): string {
  const { subject, text, html = '' } = content as MailContent;
  return `${subject}\n${text ?? wordsOf(html)}`;
}

function wordsOf(html: string): string {
  return html
    .replace(/<(style|script)\b[^<]*<\/\1\s*>/gi, ' ')
    .replace(/<[^<>]*>/g, ' ')
    .replace(/&nbsp;/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'email-smtp',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
