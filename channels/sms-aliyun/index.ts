/** Text messages through Alibaba Cloud SMS: the connector `sms-aliyun`. docs/channels/sms-aliyun.md explains it. */
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { checkAccount } from '../kit/check-account.ts';
import { addressFault } from './address.ts';
import { maxBatchMessages } from './batch.ts';
import {
  callTimeoutMs,
  ContentSchema,
  createSmsAliyunClient,
  SecretsSchema,
  SettingsSchema,
  type SmsContent,
} from './client.ts';
import { lintSms } from './lint.ts';
import { parseReceipts } from './receipts.ts';

export interface SmsAliyunDeps {
  /** Whether `endpoint` may lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

const dayLimit50 = [{ count: 50, windowSeconds: 86_400 }] as const;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createSmsAliyun(deps: SmsAliyunDeps): Connector {
  const { allowPrivateProviders, now = Date.now, random = Math.random } = deps;
  return {
    name: 'sms-aliyun',
    channel: 'sms',
    addressKinds: ['phone'],
    capabilities: {
      dedupe: { by: 'none' },
      receipts: 'push',
      askReceiptsAfterMs: [600_000, 3_600_000, 86_400_000],
      canReconcile: true,
      reconcileAfterMs: 8000,
      recallWithinMs: 0,
      batch: { maxMessages: maxBatchMessages, content: 'any' },
      callTimeoutMs,
      attemptBudget: 8,
      recipientWindows: {
        otp: [
          { count: 1, windowSeconds: 60 },
          { count: 5, windowSeconds: 3600 },
          { count: 10, windowSeconds: 86_400 },
        ],
        notice: dayLimit50,
        marketing: dayLimit50,
      },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText,
    lint: lintSms,
    addressFault,
    createClient: (account) =>
      createSmsAliyunClient({ account: checked(account), allowPrivateProviders, now, random }),
    parseReceipts: (request, account) =>
      parseReceipts(request, { token: checked(account).secrets.receiptToken, now }),
  };
}

/** The signature and the text as a phone shows them; the values alone where no text is given. */
function contentText(content: unknown): string {
  const { signName, params, text } = content as SmsContent;
  return `【${signName}】${text ?? Object.values(params).join(' ')}`;
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'sms-aliyun',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
