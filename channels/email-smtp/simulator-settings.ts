/** What the simulated mail server knows and can be told while it runs. Times and limits are assumptions. */
import { Type, type Static } from 'typebox';
import {
  commonDefaults,
  commonSettings,
  receiptDefaults,
  receiptSettings,
} from '../sandbox/provider.ts';

export const MailServerSettingsSchema = Type.Object({
  ...commonSettings,
  ...receiptSettings,
  slowMs: Type.Number({
    minimum: 0,
    description: 'How long slow@ takes to answer a mail, real time.',
  }),
});
export type MailServerSettings = Static<typeof MailServerSettingsSchema>;

export const mailServerDefaults: MailServerSettings = {
  ...commonDefaults,
  ...receiptDefaults,
  slowMs: 3000,
};

/** As submission servers have it: 25 MB. */
export const defaultMaxMailBytes = 25 * 1024 * 1024;

export interface MailServerAccount {
  readonly password: string;
  /** Domains it may send from, in the envelope and in From. */
  readonly domains: readonly string[];
}

/** Names before the @ (or before its +) with a meaning, whatever the domain. */
export const magicNames = {
  refusedAtRcpt: {
    'hard-550': '550 5.1.1 no such user',
    full: '552 5.2.2 mailbox full',
    blocked: '550 5.7.1 the recipient takes no mail from you',
  },
  refusedAtDot: { spam: '554 5.7.1 message refused as spam' },
  /** 451 the first time, as greylisting does. */
  grey: '451 4.7.1 greylisted, come back later',
  slow: 'slow',
  dropBeforeData: 'drop-before-data',
  dropAfterDot: 'drop-after-dot',
  /** Taken, and bounced later: status, and the reply of the last server. */
  bouncedLater: {
    'bounce-later': '550 5.1.1 no such user',
    'full-later': '552 5.2.2 mailbox full',
    'policy-later': '550 5.7.26 unauthenticated mail is not taken',
  },
  delayedLater: 'delay-later',
  /** Delivered, and reported as spam. */
  complains: 'complain',
} as const;

/** `bounce-later` of `bounce-later+7@example.com`. */
export function nameOf(address: string): string {
  return (address.split('@')[0] ?? '').split('+')[0]?.toLowerCase() ?? '';
}
