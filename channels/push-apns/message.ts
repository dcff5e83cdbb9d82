/** What is said to APNs: the content's schema, the notification's JSON, and the headers of one push. */
import { createHash } from 'node:crypto';
import { Type, type Static } from 'typebox';

const maxSeconds = 2_419_200; // 28 days: APNs keeps a notification for no longer than about 30
const defaultSeconds = 86_400;

export const ContentSchema = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 200, description: 'First line, bold.' }),
    body: Type.String({ minLength: 1, maxLength: 2000, description: 'The text.' }),
    data: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^(?!aps$)[A-Za-z_][A-Za-z0-9_.-]{0,63}$' }),
        Type.String({ maxLength: 2000 }),
        {
          additionalProperties: false,
          maxProperties: 50,
          description: "The app's own keys, beside `aps`; not shown.",
          examples: [{ orderId: '{{orderId}}' }],
        },
      ),
    ),
    url: Type.Optional(
      Type.String({
        maxLength: 1000,
        description: 'What the app opens on a tap; given to it as the key `url`.',
      }),
    ),
    subtitle: Type.Optional(Type.String({ maxLength: 200, description: 'Second line.' })),
    sound: Type.Optional(
      Type.String({
        maxLength: 64,
        description: "`default`, or a sound file of the app's; default: silent.",
      }),
    ),
    badge: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 99_999,
        description: "Number on the app's icon; 0 removes it.",
      }),
    ),
    category: Type.Optional(
      Type.String({ maxLength: 64, description: "The app's category, which gives it buttons." }),
    ),
    threadId: Type.Optional(
      Type.String({ maxLength: 64, description: 'Notifications with the same one are grouped.' }),
    ),
    interruptionLevel: Type.Optional(
      Type.Enum(['passive', 'active', 'time-sensitive'], {
        description: 'How much it may disturb; default active.',
      }),
    ),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: maxSeconds,
        default: defaultSeconds,
        description: 'How long APNs keeps trying while the device is off; 0: once. Default a day.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A notification on Apple devices.' },
);
export type PushContent = Static<typeof ContentSchema>;

/** APNs's limit on a notification. */
export const maxPayloadBytes = 4096;

/**
 * The notification as JSON; 4096 bytes at most, which APNs checks. `mcRef` is the reference by which an app can tell us
 * of a message. Our own names win over those of `data`.
 */
export function notificationJson(content: PushContent, deliveryKey: string): string {
  const { title, subtitle, body, sound, badge, category, threadId, interruptionLevel } = content;
  return JSON.stringify({
    ...content.data,
    ...(content.url && { url: content.url }),
    mcRef: deliveryKey,
    aps: {
      alert: { title, ...(subtitle !== undefined && { subtitle }), body },
      ...(sound !== undefined && { sound }),
      ...(badge !== undefined && { badge }),
      ...(category !== undefined && { category }),
      ...(threadId !== undefined && { 'thread-id': threadId }),
      ...(interruptionLevel !== undefined && { 'interruption-level': interruptionLevel }),
    },
  });
}

/** Headers that every push has, but for the authorization. */
export function pushHeaders(options: {
  readonly path: string;
  readonly topic: string;
  readonly deliveryKey: string;
  readonly expiresAtMs: number | undefined;
}): Readonly<Record<string, string>> {
  const { path, topic, deliveryKey, expiresAtMs } = options;
  return {
    ':method': 'POST',
    ':path': path,
    'apns-topic': topic,
    'apns-push-type': 'alert',
    'apns-priority': '10',
    'apns-expiration': expiresAtMs === undefined ? '0' : String(Math.floor(expiresAtMs / 1000)),
    'apns-id': apnsIdOf(deliveryKey),
    // 60 of the 64 bytes it may have: a repeat replaces the first one on the device.
    'apns-collapse-id': deliveryKey,
    'content-type': 'application/json',
  };
}

/** When APNs may forget the notification; undefined: at once. */
export function expiryOf(content: PushContent, nowMs: number): number | undefined {
  const seconds = content.ttlSeconds ?? defaultSeconds;
  return seconds === 0 ? undefined : nowMs + seconds * 1000;
}

/** A delivery key as the UUID that apns-id must be: its SHA-256, marked as version 8 of RFC 9562. */
export function apnsIdOf(deliveryKey: string): string {
  const hash = createHash('sha256').update(deliveryKey).digest('hex');
  const variant = ((Number.parseInt(hash.slice(16, 17), 16) & 3) | 8).toString(16);
  return [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `${variant}${hash.slice(17, 20)}`,
    hash.slice(20, 32),
  ].join('-');
}
