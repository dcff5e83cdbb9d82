/** The live client of one Alibaba Cloud SMS account: SendSms, and QuerySendDetails to ask after lost answers. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import type { ReconcileOutcome } from '../../contracts/outcome.ts';
import { createProviderHttp, type ProviderAnswer } from '../../platform/provider-http.ts';
import { addressFault, toProviderNumber } from './address.ts';
import { AnswerSchema, classifyAnswer, parseJson } from './classify.ts';
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
      description: 'AccessKey ID of a RAM user that may call SendSms and QuerySendDetails.',
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

const DetailsSchema = Type.Object({
  TotalCount: Type.Union([Type.Integer(), Type.String({ pattern: '^[0-9]{1,9}$' })]),
  SmsSendDetailDTOs: Type.Object({
    SmsSendDetailDTO: Type.Array(Type.Object({ OutId: Type.Optional(Type.String()) })),
  }),
});

/** Nobody is written to: only our own records of this number are read, and there are none. */
const harmlessNumber = '13000000000';
const pageSize = 50;
const maxPages = 20;
const minuteMs = 60_000;

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

  const call = (action: string, query: Record<string, string>, signal: AbortSignal) =>
    http.call({
      method: 'POST',
      path: `${basePath}/?${canonicalQuery(query)}`,
      headers: signAcs3({ host: endpoint.host, action, query, accessKeyId, accessKeySecret }),
      signal,
    });
  const classify = (answer: ProviderAnswer) =>
    classifyAnswer(answer, { nowMs: now(), jitter: random() });
  const query = (filter: { phone: string; day: string; page: number }, signal: AbortSignal) =>
    call(
      'QuerySendDetails',
      {
        PhoneNumber: filter.phone,
        SendDate: filter.day,
        PageSize: String(pageSize),
        CurrentPage: String(filter.page),
      },
      signal,
    );

  return {
    send: async ({ to, content, deliveryKey, signal }: SendRequest<SmsContent>) => {
      const fault = addressFault(to);
      if (fault !== undefined) return { class: 'recipient-invalid', providerMessage: fault };
      const answer = await call(
        'SendSms',
        {
          PhoneNumbers: toProviderNumber(to.phone),
          SignName: content.signName,
          TemplateCode: content.templateCode,
          TemplateParam: JSON.stringify(content.params),
          OutId: deliveryKey,
        },
        signal,
      );
      return classify(answer);
    },
    reconcile: async ({ to, deliveryKey, sentAt, signal }) => {
      const phone = toProviderNumber(to.phone);
      for (const day of daysAround(Date.parse(sentAt))) {
        const found = await searchDay(
          (page) => query({ phone, day, page }, signal),
          deliveryKey,
          classify,
        );
        if (found.found !== 'no') return found;
      }
      return { found: 'no' };
    },
    verify: async (signal) => {
      const answer = await query({ phone: harmlessNumber, day: dayOf(now()), page: 1 }, signal);
      const outcome = classify(answer);
      // Nothing was asked for that could have been done twice.
      return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
    },
    close: () => http.close(),
  };
}

/** Reads a day's pages until the key is found or all rows have been seen. */
async function searchDay(
  fetchPage: (page: number) => Promise<ProviderAnswer>,
  deliveryKey: string,
  classify: (answer: ProviderAnswer) => { readonly class: string },
): Promise<ReconcileOutcome> {
  let seen = 0;
  for (let page = 1; page <= maxPages; page += 1) {
    const answer = await fetchPage(page);
    const body = answer.kind === 'answer' ? parseJson(answer.body) : undefined;
    const outcome = classify(answer);
    if (outcome.class !== 'accepted' || !Check(DetailsSchema, body))
      return { found: 'cannot-tell', detail: describe(answer, body) };
    const rows = body.SmsSendDetailDTOs.SmsSendDetailDTO;
    // The books give no BizId; later receipts are matched by the delivery key.
    if (rows.some((row) => row.OutId === deliveryKey)) return { found: 'yes' };
    seen += rows.length;
    if (seen >= Number(body.TotalCount)) return { found: 'no' };
    if (rows.length === 0)
      return { found: 'cannot-tell', detail: `${seen} of ${body.TotalCount} records shown` };
  }
  return { found: 'cannot-tell', detail: `more than ${maxPages * pageSize} records on one day` };
}

function describe(answer: ProviderAnswer, body: unknown): string {
  if (answer.kind !== 'answer') return answer.cause;
  return Check(AnswerSchema, body) ? body.Code : `HTTP ${answer.status} without a readable answer`;
}

/** `yyyyMMdd` in UTC+8, as QuerySendDetails counts days. */
function dayOf(timeMs: number): string {
  return new Date(timeMs + 8 * 60 * minuteMs).toISOString().slice(0, 10).replaceAll('-', '');
}

/** Clocks may differ by the 15 minutes that the gateway tolerates, so a call near midnight is looked up on both days. */
function daysAround(timeMs: number): readonly string[] {
  return [
    ...new Set([dayOf(timeMs), dayOf(timeMs - 15 * minuteMs), dayOf(timeMs + 15 * minuteMs)]),
  ];
}
