/** A push message as FCM's HTTP v1 API takes it (firebase.google.com/docs/reference/fcm/rest/v1/projects.messages). */
import { Type, type Static } from 'typebox';

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
          description: 'What the app gets with it; each value is a Liquid template.',
          examples: [{ orderId: '{{orderId}}' }],
        },
      ),
    ),
    url: Type.Optional(
      Type.String({
        maxLength: 1000,
        description: 'What a tap opens; the app reads it from data.url.',
        examples: ['https://example.com/orders/{{orderId}}'],
      }),
    ),
    androidPriority: Type.Optional(
      Type.Enum(['high', 'normal'], {
        description: 'high wakes a sleeping Android device; default: high.',
      }),
    ),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 2_419_200,
        description: 'How long it is kept for a device that is offline; default: four weeks.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A push notification.' },
);
export type FcmContent = Static<typeof ContentSchema>;

/** FCM's limit on a message's payload. */
export const maxPayloadBytes = 4096;

/** What is shown and what the app gets: the part that FCM's size limit counts. Our own names win over those of `data`. */
function payloadOf(content: FcmContent, deliveryKey: string) {
  const { title, body, data, url } = content;
  return {
    notification: { title, body },
    data: { ...data, ...(url && { url }), mcRef: deliveryKey },
  };
}

/** Size of the payload with names and punctuation: a little more than FCM counts. */
export function payloadBytes(content: FcmContent, deliveryKey: string): number {
  return Buffer.byteLength(JSON.stringify(payloadOf(content, deliveryKey)));
}

/**
 * The request for one device. The delivery key is what a repeat replaces the first message by: the tag of Android's
 * notification, the collapse key while it waits for the device, and `apns-collapse-id` (at most 64 bytes) on iOS.
 */
export function buildRequest(message: {
  readonly token: string;
  readonly content: FcmContent;
  readonly deliveryKey: string;
  readonly nowMs: number;
}) {
  const { token, content, deliveryKey, nowMs } = message;
  const { androidPriority = 'high', ttlSeconds } = content;
  return {
    message: {
      token,
      ...payloadOf(content, deliveryKey),
      android: {
        priority: androidPriority.toUpperCase(),
        ...(ttlSeconds !== undefined && { ttl: `${ttlSeconds}s` }),
        collapse_key: deliveryKey,
        notification: { tag: deliveryKey },
      },
      apns: {
        headers: {
          'apns-collapse-id': deliveryKey,
          ...(ttlSeconds !== undefined && {
            'apns-expiration': String(ttlSeconds === 0 ? 0 : Math.floor(nowMs / 1000) + ttlSeconds),
          }),
        },
      },
    },
  };
}
