/** What an account and a mail of `email-smtp` consist of. */
import { Type, type Static } from 'typebox';

const hostPattern = '^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})$';
const domain = '[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63})+';
const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
/** RFC 5321 dot-string: what needs neither quotes nor SMTPUTF8. */
const mailboxPattern = `^(?=.{1,64}@)${atom}(\\.${atom})*@${domain}$`;

const MailboxSchema = Type.String({ pattern: mailboxPattern, maxLength: 254 });

export const SettingsSchema = Type.Object(
  {
    host: Type.String({
      pattern: hostPattern,
      description: 'Name of the SMTP server that takes our mail (submission server or relay).',
      examples: ['smtp.exmail.qq.com'],
    }),
    port: Type.Integer({
      minimum: 1,
      maximum: 65_535,
      description: 'Usually 465 with tls, 587 with starttls.',
      examples: [465],
    }),
    security: Type.Enum(['tls', 'starttls', 'none'], {
      description:
        'tls: from the first byte; starttls: upgraded before anything else is said, never without; none: plain, only where private providers are allowed (the sandbox).',
    }),
    from: Type.Object(
      {
        name: Type.Optional(
          Type.String({
            maxLength: 100,
            pattern: '^[^\\u0000-\\u001f\\u007f]*$',
            description: 'Shown as the sender.',
            examples: ['消息中心'],
          }),
        ),
        address: Type.Unsafe<string>({
          ...MailboxSchema,
          description: 'Sender; the server must allow it to this user.',
          examples: ['notice@example.com'],
        }),
      },
      { additionalProperties: false, description: 'Who the mail is from.' },
    ),
    replyTo: Type.Optional(
      Type.Unsafe<string>({ ...MailboxSchema, description: 'Where answers go; default: from.' }),
    ),
    bounceDomain: Type.Optional(
      Type.String({
        pattern: `^${domain}$`,
        maxLength: 180,
        description:
          'Domain whose mailbox <bouncePrefix>+anything receives bounces. Without it from.address is the envelope sender, as servers demand that allow no other.',
        examples: ['bounce.example.com'],
      }),
    ),
    bouncePrefix: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9][a-z0-9-]{0,9}$',
        default: 'bounce',
        description: 'Before the + of the bounce address; at most 10 characters, default bounce.',
      }),
    ),
    wantsDeliveryReport: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Asks for a report when the mail was delivered, not only when it was not (RFC 3461 NOTIFY=SUCCESS). Few servers pass it on; each report is a mail.',
      }),
    ),
    maxConnections: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 50,
        default: 5,
        description: 'Connections of one worker process at most, one mail at a time on each.',
      }),
    ),
    ca: Type.Optional(
      Type.String({
        pattern: '^\\s*-----BEGIN CERTIFICATE-----',
        maxLength: 20_000,
        description: 'PEM of the authorities to trust instead of the usual ones.',
      }),
    ),
  },
  { additionalProperties: false, description: 'An SMTP server without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    user: Type.Optional(
      Type.String({ minLength: 1, maxLength: 254, description: 'Login; absent: no login.' }),
    ),
    password: Type.Optional(
      Type.String({ minLength: 1, maxLength: 512, description: 'Password or app password.' }),
    ),
    receiptToken: Type.String({
      pattern: '^[A-Za-z0-9_-]{16,128}$',
      description:
        'What the receipt address carries as ?token=; 16 to 128 letters, digits, dashes, underscores. A mail proves nothing about its sender.',
    }),
    dkim: Type.Optional(
      Type.Object(
        {
          domainName: Type.String({ pattern: `^${domain}$`, description: 'The d= of DKIM.' }),
          keySelector: Type.String({
            pattern: '^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$',
            description: 'The s= of DKIM.',
          }),
          privateKey: Type.String({
            pattern: '^\\s*-----BEGIN (RSA )?PRIVATE KEY-----',
            maxLength: 10_000,
            description: 'PEM of the RSA key.',
          }),
        },
        {
          additionalProperties: false,
          description: 'Signs here; absent where the server signs itself.',
        },
      ),
    ),
  },
  {
    additionalProperties: false,
    description: 'Credentials of the SMTP account.',
    dependentRequired: { user: ['password'], password: ['user'] },
  },
);

export const ContentSchema = Type.Object(
  {
    subject: Type.String({
      minLength: 1,
      maxLength: 500,
      description: 'One line; line breaks become spaces.',
      examples: ['订单{{orderId}}已发货'],
    }),
    text: Type.Optional(
      Type.String({ minLength: 1, maxLength: 100_000, description: 'Plain text.' }),
    ),
    html: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 500_000,
        description: 'HTML; with text beside it a mail program takes what it can show.',
      }),
    ),
    listUnsubscribe: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 900,
        description:
          'https URL that unsubscribes by a bare POST (RFC 8058): List-Unsubscribe and List-Unsubscribe-Post.',
        examples: ['https://example.com/unsubscribe?u={{userId}}'],
      }),
    ),
  },
  {
    additionalProperties: false,
    description: 'A mail with text, html, or both.',
    anyOf: [{ required: ['text'] }, { required: ['html'] }],
  },
);

export type SmtpSettings = Static<typeof SettingsSchema>;
export type SmtpSecrets = Static<typeof SecretsSchema>;
export type MailContent = Static<typeof ContentSchema>;

const mailbox = new RegExp(mailboxPattern);

/** Whether an address can be written in SMTP without quotes and without SMTPUTF8. */
export function isPlainMailbox(address: string): boolean {
  return address.length <= 254 && mailbox.test(address);
}
