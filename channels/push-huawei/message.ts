/**
 * A notification as Huawei's scenario-specific API v3 takes it, and the ids by which a repeat, a receipt and a recall
 * find it again (developer.huawei.com/consumer/cn/doc/harmonyos-references/push-scenariozed-api-request-param).
 */
import { createHash } from 'node:crypto';
import { Type, type Static } from 'typebox';

/** Kinds of notification; without the right to classify itself an app's messages count as MARKETING. */
export const categories = [
  'IM',
  'VOIP',
  'MISS_CALL',
  'SUBSCRIPTION',
  'TRAVEL',
  'HEALTH',
  'WORK',
  'ACCOUNT',
  'EXPRESS',
  'FINANCE',
  'DEVICE_REMINDER',
  'MAIL',
  'MARKETING',
] as const;

export const ContentSchema = Type.Object(
  {
    title: Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'First line of the notification.',
      examples: ['Your order'],
    }),
    body: Type.String({
      minLength: 1,
      maxLength: 2000,
      description: 'Text of the notification.',
      examples: ['Order {{orderId}} has been shipped.'],
    }),
    data: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_.-]{0,63}$' }),
        Type.String({ maxLength: 2000 }),
        {
          maxProperties: 50,
          additionalProperties: false,
          description:
            'What the app gets when the notification is tapped; each value is a Liquid template.',
          examples: [{ orderId: '{{orderId}}' }],
        },
      ),
    ),
    url: Type.Optional(
      Type.String({
        maxLength: 1000,
        description:
          "What a tap opens: a uri that the app's skills declare; without it the app's first page.",
        examples: ['https://example.com/orders/{{orderId}}'],
      }),
    ),
    category: Type.Optional(
      Type.Enum(categories, {
        description:
          "Huawei's class of the notification, for which the app needs the right; default: MARKETING.",
      }),
    ),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_296_000,
        description: 'How long it is kept for a device that is offline; default: a day.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A push notification.' },
);
export type HuaweiContent = Static<typeof ContentSchema>;

/** Huawei's limit on a body without its tokens. */
export const maxBodyBytes = 4096;

/** What one call carries besides its tokens. */
export interface CallIds {
  /** 31 bits: a notification replaces the one of the same id on a device. */
  readonly notifyId: number;
  /** At most 64 bytes; comes back in receipts. */
  readonly biTag: string;
}

/** The ids of a message that is sent alone. */
export function singleIds(deliveryKey: string): CallIds {
  return { notifyId: notifyIdOf(deliveryKey), biTag: deliveryKey };
}

/**
 * The ids of a call for many: it has one of each, made from all delivery keys in whatever order, so that the same call
 * again replaces itself.
 */
export function batchIds(deliveryKeys: readonly string[]): CallIds {
  const all = deliveryKeys.toSorted().join('\n');
  const notifyId = notifyIdOf(all);
  return { notifyId, biTag: `batch.${notifyId}.${sha256(all).toString('hex').slice(0, 16)}` };
}

function notifyIdOf(text: string): number {
  return sha256(text).readUInt32BE(0) & 0x7fff_ffff;
}

/** The notify id in a `biTag` that `batchIds` made, or undefined: it is a delivery key then, or not ours. */
export function batchNotifyId(biTag: string): string | undefined {
  return /^batch\.(\d{1,10})\.[0-9a-f]{16}$/.exec(biTag)?.[1];
}

/** What tells one message of a batch from the others: the call, its notify id (for a recall), and the device. */
export function batchProviderId(
  requestId: string,
  notifyId: string | number,
  token: string,
): string {
  return `${requestId}.${notifyId}.${sha256(token).toString('hex').slice(0, 12)}`;
}

/** Under which notify id a sent message is on its device. */
export function sentNotifyId(message: {
  readonly deliveryKey: string;
  readonly providerId: string | undefined;
}): number {
  const ofBatch = /\.(\d{1,10})\.[0-9a-f]{12}$/.exec(message.providerId ?? '')?.[1];
  return ofBatch === undefined ? notifyIdOf(message.deliveryKey) : Number(ofBatch);
}

const sha256 = (text: string) => createHash('sha256').update(text).digest();

/** The request body for some devices. */
export function buildBody(content: HuaweiContent, ids: CallIds, tokens: readonly string[]) {
  const { title, body, data, url, category = 'MARKETING', ttlSeconds } = content;
  return {
    payload: {
      notification: {
        category,
        title,
        body,
        clickAction: {
          actionType: url ? 1 : 0,
          ...(url && { uri: url }),
          ...(data !== undefined && { data }),
        },
        notifyId: ids.notifyId,
      },
    },
    target: { token: tokens },
    pushOptions: { biTag: ids.biTag, ...(ttlSeconds !== undefined && { ttl: ttlSeconds }) },
  };
}

/** Size of the body as Huawei counts it: without the tokens. */
export function bodyBytes(content: HuaweiContent, ids: CallIds): number {
  return Buffer.byteLength(JSON.stringify(buildBody(content, ids, [])));
}
