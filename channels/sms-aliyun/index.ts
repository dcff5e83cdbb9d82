/** Text messages through Alibaba Cloud SMS: the connector `sms-aliyun`. docs/channels/sms-aliyun.md explains it. */
import { Check, Errors } from 'typebox/value';
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { addressFault } from './address.ts';
import {
  callTimeoutMs,
  ContentSchema,
  createSmsAliyunClient,
  SecretsSchema,
  SettingsSchema,
  type SmsContent,
  type SmsSecrets,
  type SmsSettings,
} from './client.ts';
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
    capabilities: {
      dedupe: { by: 'none' },
      receipts: 'push',
      canReconcile: true,
      reconcileAfterMs: 8000,
      canRecall: false,
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

/** Narrows an account. Errors: name the faulty fields, never their values. */
function checked(account: AccountAccess): AccountAccess<SmsSettings, SmsSecrets> {
  const { id, tenantId, settings, secrets } = account;
  if (!Check(SettingsSchema, settings))
    throw misfit(id, 'settings', Errors(SettingsSchema, settings));
  if (!Check(SecretsSchema, secrets)) throw misfit(id, 'secrets', Errors(SecretsSchema, secrets));
  return { id, tenantId, settings, secrets };
}

function misfit(id: string, part: string, errors: readonly { instancePath: string }[]): Error {
  const fields = errors.map((error) => error.instancePath || '/').join(', ');
  return new Error(`the ${part} of account ${id} do not fit sms-aliyun: ${fields}`);
}
