/**
 * The live client of one Alibaba Cloud SMS account: SendSms and SendBatchSms, and QuerySendDetails to ask after lost
 * answers and receipts that did not come.
 */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { createProviderHttp, type ProviderAnswer } from '../../platform/provider-http.ts';
import { addressFault, toProviderNumber } from './address.ts';
import { batchOutId } from './batch-ids.ts';
import { sendInBatches, type BatchMessage } from './batch.ts';
import { classifyAnswer } from './classify.ts';
import {
  askByRecords,
  detailsQuery,
  reconcileBatchByRecords,
  reconcileByRecords,
} from './records.ts';
import { canonicalQuery, signAcs3 } from './sign.ts';

export const callTimeoutMs = 5000;
export const defaultEndpoint = 'https://dysmsapi.aliyuncs.com';

export const SettingsSchema = Type.Object(
  {
    endpoint: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s?#@]+$',
        maxLength: 200,
        default: defaultEndpoint,
        description:
          'URL of the SMS API, default https://dysmsapi.aliyuncs.com. A path in it is put before every call (for the sandbox).',
        examples: [defaultEndpoint],
      }),
    ),
  },
  { additionalProperties: false, description: 'Alibaba Cloud SMS without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    accessKeyId: Type.String({
      pattern: '^[A-Za-z0-9._-]{1,128}$',
      description:
        'AccessKey ID of a RAM user that may call SendSms, SendBatchSms and QuerySendDetails.',
    }),
    accessKeySecret: Type.String({
      minLength: 1,
      maxLength: 256,
      description: 'AccessKey secret of that user.',
    }),
    receiptToken: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_-]{16,128}$',
        description:
          'What the receipt address set at Alibaba Cloud carries as ?token=; 16 to 128 letters, digits, dashes, underscores. Its pushes are not signed, so without a token anyone who finds the address can forge receipts.',
      }),
    ),
  },
  { additionalProperties: false, description: 'Credentials of the SMS account.' },
);

export const ContentSchema = Type.Object(
  {
    signName: Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Approved signature, without the brackets 【】.',
      examples: ['阿里云'],
    }),
    templateCode: Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Code of the approved template.',
      examples: ['SMS_15305'],
    }),
    params: Type.Record(
      Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$' }),
      Type.String({ maxLength: 2000 }),
      {
        maxProperties: 50,
        description: "The provider template's variables; each value is a Liquid template.",
        examples: [{ code: '{{code}}' }],
      },
    ),
    text: Type.Optional(
      Type.String({
        maxLength: 2000,
        description:
          'What people will read, for search and preview only: the provider renders its own template.',
        examples: ['您的验证码是{{code}}，5分钟内有效。'],
      }),
    ),
  },
  { additionalProperties: false, description: 'A text message by an approved template.' },
);

export type SmsSettings = Static<typeof SettingsSchema>;
export type SmsSecrets = Static<typeof SecretsSchema>;
export type SmsContent = Static<typeof ContentSchema>;

/** Nobody is written to: only our own records of this number are read, and there are none. */
const harmlessNumber = '13000000000';
/** A call that begins within a batch has at least this long for its answer; the documents ask for a second. */
const leastCallMs = 2000;

export interface ClientOptions {
  readonly account: AccountAccess<SmsSettings, SmsSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Opens the connections of one account. `send` is one SendSms call with OutId = delivery key, never repeated here. */
export function createSmsAliyunClient(options: ClientOptions): ConnectorClient<SmsContent> {
  const { account, now, random } = options;
  const { accessKeyId, accessKeySecret } = account.secrets;
  const endpoint = new URL(account.settings.endpoint ?? defaultEndpoint);
  const basePath = endpoint.pathname.replace(/\/+$/, '');
  const http = createProviderHttp({
    origin: endpoint.origin,
    allowPrivate: options.allowPrivateProviders,
    timeoutMs: callTimeoutMs,
  });

  const call = (action: string, params: Params, signal: AbortSignal) => {
    const { query } = params;
    const form = params.form && { body: canonicalQuery(params.form) };
    return http.call({
      method: 'POST',
      path: `${basePath}/?${canonicalQuery(query)}`,
      headers: signAcs3({
        host: endpoint.host,
        action,
        query,
        ...form,
        accessKeyId,
        accessKeySecret,
      }),
      ...form,
      signal,
    });
  };
  const classify = (answer: ProviderAnswer) =>
    classifyAnswer(answer, { nowMs: now(), jitter: random() });
  const records = {
    query: (query: Record<string, string>, signal: AbortSignal) =>
      call('QuerySendDetails', { query }, signal),
    classify,
    now,
  };
  const send = async ({ signal, ...message }: SendRequest<SmsContent>): Promise<SendOutcome> => {
    const fault = addressFault(message.to);
    if (fault !== undefined) return { class: 'recipient-invalid', providerMessage: fault };
    return classify(await call('SendSms', sendSmsParams(message), signal));
  };

  return {
    send,
    /**
     * One SendBatchSms call for each template code, one after the other, outcomes in the order of the messages; ends
     * within `callTimeoutMs` altogether. See `sendInBatches` for what is refused.
     */
    sendBatch: (messages, signal) => {
      const endMs = now() + callTimeoutMs;
      const until = AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)]);
      return sendInBatches(messages, {
        sendOne: (message) => send({ ...message, signal: until }),
        sendMany: async (part) =>
          classify(await call('SendBatchSms', sendBatchSmsParams(part), until)),
        hasTime: () => !until.aborted && now() <= endMs - leastCallMs,
      });
    },
    reconcile: (lost) => reconcileByRecords(records, lost),
    reconcileBatch: (lost) => reconcileBatchByRecords(records, lost),
    askReceipts: (messages, signal) => askByRecords(records, messages, signal),
    verify: async (signal) => {
      const outcome = classify(await records.query(detailsQuery(harmlessNumber, now()), signal));
      // Nothing was asked for that could have been done twice.
      return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
    },
    close: () => http.close(),
  };
}

interface Params {
  readonly query: Readonly<Record<string, string>>;
  /** What travels in the body: an address line has no room for a hundred messages. */
  readonly form?: Readonly<Record<string, string>>;
}

function sendSmsParams({ to, content, deliveryKey }: BatchMessage): Params {
  return {
    query: {
      PhoneNumbers: toProviderNumber(to),
      SignName: content.signName,
      TemplateCode: content.templateCode,
      TemplateParam: JSON.stringify(content.params),
      OutId: deliveryKey,
    },
  };
}

function sendBatchSmsParams(messages: readonly BatchMessage[]): Params {
  const list = (of: (message: BatchMessage) => unknown) => JSON.stringify(messages.map(of));
  return {
    query: {
      TemplateCode: messages[0]?.content.templateCode ?? '',
      OutId: batchOutId(messages.map(({ deliveryKey }) => deliveryKey)),
    },
    form: {
      PhoneNumberJson: list(({ to }) => toProviderNumber(to)),
      SignNameJson: list(({ content }) => content.signName),
      TemplateParamJson: list(({ content }) => content.params),
    },
  };
}
