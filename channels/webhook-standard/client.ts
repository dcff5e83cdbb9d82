/** The live client of one webhook account: signed POSTs to its endpoints, one connection pool for each origin. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { messageIdTimeMs } from '../../platform/message-id.ts';
import { messageOfDeliveryKey } from '../../platform/delivery-key.ts';
import { createProviderHttp, type ProviderHttp } from '../../platform/provider-http.ts';
import { signingSecretPattern, signWebhook } from '../../platform/webhook-signature.ts';
import { classifyAnswer } from './classify.ts';
import { webhookId } from './webhook-id.ts';

/** The specification asks for 15 to 30 s: receivers do their work before they answer. */
export const callTimeoutMs = 15_000;
/** Of a body, in UTF-8: what the specification recommends as the most. */
export const maxBodyBytes = 20_000;
/** A receiver that hangs holds up its own messages only. */
const maxConnectionsOfOrigin = 32;

const namePattern = '^[a-z0-9][a-z0-9._-]{0,63}$';

export const SettingsSchema = Type.Object(
  {
    endpoints: Type.Record(
      Type.String({ pattern: namePattern }),
      Type.Object(
        {
          url: Type.String({
            pattern: '^https?://[^\\s/?#@]+(?:[/?][^\\s#]*)?$',
            maxLength: 500,
            description:
              'Where messages are posted: https, unless this installation allows private providers. Put no secret into it: settings are shown.',
            examples: ['https://erp.example.com/hooks/messages'],
          }),
          disabled: Type.Optional(
            Type.Boolean({ description: 'True: messages to it are refused. Default false.' }),
          ),
        },
        { additionalProperties: false },
      ),
      {
        additionalProperties: false,
        minProperties: 1,
        maxProperties: 500,
        description: 'Endpoints by the name that messages are sent to.',
      },
    ),
  },
  { additionalProperties: false, description: 'Webhook endpoints without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    signing: Type.Record(
      Type.String({ pattern: namePattern }),
      Type.Array(
        Type.String({
          pattern: signingSecretPattern,
          description: 'whsec_ and base64 of 24 to 64 random bytes.',
        }),
        {
          minItems: 1,
          maxItems: 3,
          description:
            'Newest first. Every one of them signs, so that a receiver can change over in its own time.',
        },
      ),
      { additionalProperties: false, description: 'Signing secrets by endpoint.' },
    ),
  },
  { additionalProperties: false, description: 'Signing secrets of the endpoints.' },
);

export const ContentSchema = Type.Object(
  {
    type: Type.String({
      minLength: 1,
      maxLength: 256,
      description: 'What happened, in words parted by dots.',
      examples: ['order.shipped'],
    }),
    data: Type.Record(
      Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$' }),
      Type.String({ maxLength: 20_000 }),
      {
        maxProperties: 100,
        additionalProperties: false,
        description: 'The event itself; each value is a Liquid template and arrives as a string.',
        examples: [{ orderId: '{{orderId}}' }],
      },
    ),
  },
  { additionalProperties: false, description: 'A Standard Webhooks event.' },
);

export type WebhookSettings = Static<typeof SettingsSchema>;
export type WebhookSecrets = Static<typeof SecretsSchema>;
export type WebhookContent = Static<typeof ContentSchema>;

export interface ClientOptions {
  readonly account: AccountAccess<WebhookSettings, WebhookSecrets>;
  /** Whether http and private addresses are allowed. */
  readonly allowPrivateProviders: boolean;
  readonly now: () => number;
}

/** Opens nothing yet: connections to an origin are made by the first message to it. */
export function createWebhookClient(options: ClientOptions): ConnectorClient<WebhookContent> {
  const { account, allowPrivateProviders, now } = options;
  const { endpoints } = account.settings;
  const pools = new Map<string, ProviderHttp>();
  const httpOf = (origin: string): ProviderHttp => {
    const known = pools.get(origin);
    if (known !== undefined) return known;
    const made = createProviderHttp({
      origin,
      allowPrivate: allowPrivateProviders,
      timeoutMs: callTimeoutMs,
      maxConnections: maxConnectionsOfOrigin,
    });
    pools.set(origin, made);
    return made;
  };
  const urlOf = (name: string) => own(endpoints, name)?.url ?? '';
  const secretsOf = (name: string) => own(account.secrets.signing, name) ?? [];
  const accountFault = (name: string): string | undefined => {
    const url = urlOf(name);
    if (!URL.canParse(url)) return 'its URL cannot be read';
    if (!allowPrivateProviders && !url.startsWith('https:')) return 'its URL is not https';
    return secretsOf(name).length === 0 ? 'it has no signing secret' : undefined;
  };

  return {
    send: async ({ to, content, deliveryKey, signal }: SendRequest<WebhookContent>) => {
      if (addressFault(to, account.settings) !== undefined) return noSuchEndpoint;
      const name = addressAs('endpoint', to) ?? '';
      const fault = accountFault(name);
      if (fault !== undefined)
        return { class: 'auth-invalid', providerMessage: `the endpoint's settings: ${fault}` };
      const body = bodyOf(content, eventTimeMs(deliveryKey) ?? now());
      const sizeBytes = Buffer.byteLength(body);
      if (sizeBytes > maxBodyBytes)
        return {
          class: 'content-rejected',
          providerMessage: `the payload has ${sizeBytes} bytes, more than ${maxBodyBytes}`,
        };
      const url = new URL(urlOf(name));
      const id = webhookId(deliveryKey);
      const timestamp = String(Math.floor(now() / 1000));
      const answer = await httpOf(url.origin).call({
        method: 'POST',
        path: url.pathname + url.search,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'message-center',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': signWebhook(secretsOf(name), { id, timestamp, body }),
        },
        body,
        signal,
      });
      return classifyAnswer(answer, { webhookId: id, nowMs: now() });
    },
    // A receiver has no call that does nothing, so only what we know ourselves is checked.
    verify: async () => {
      const faults = Object.keys(endpoints).flatMap((name) => {
        const fault = accountFault(name);
        return fault === undefined ? [] : [`${name}: ${fault}`];
      });
      return faults.length === 0
        ? {
            class: 'accepted',
            providerId: 'settings-only',
            providerMessage: 'URLs and secrets agree; no endpoint was called',
          }
        : { class: 'auth-invalid', providerMessage: faults.join('; ').slice(0, 300) };
    },
    close: async () => {
      await Promise.all([...pools.values()].map((http) => http.close()));
    },
  };
}

const noSuchEndpoint: SendOutcome = {
  class: 'recipient-invalid',
  providerMessage: 'the account has no endpoint of this name, or it is disabled',
};

/** What keeps an account from posting to an address: an unknown name, or a disabled endpoint. */
export function addressFault(to: To, settings: unknown): string | undefined {
  const name = addressAs('endpoint', to) ?? '';
  const { endpoints } = settings as WebhookSettings;
  const endpoint = own(endpoints, name);
  if (endpoint === undefined) return `the channel account has no endpoint "${name}"`;
  return endpoint.disabled === true ? `the endpoint "${name}" is disabled` : undefined;
}

/** An entry by its name, and never what every object inherits. */
function own<Entry>(entries: Readonly<Record<string, Entry>>, name: string): Entry | undefined {
  return Object.hasOwn(entries, name) ? entries[name] : undefined;
}

/** Size of a payload. */
export function bodyBytes(content: WebhookContent): number {
  return Buffer.byteLength(bodyOf(content, 0));
}

/** Keys in this order; receivers sign and read the bytes as they come. */
function bodyOf({ type, data }: WebhookContent, timeMs: number): string {
  return JSON.stringify({ type, timestamp: new Date(timeMs).toISOString(), data });
}

/** When the message was accepted, where its id tells: then every repeat has the same body. */
function eventTimeMs(deliveryKey: string): number | undefined {
  const message = messageOfDeliveryKey(deliveryKey);
  return message === undefined ? undefined : messageIdTimeMs(message.messageId);
}
