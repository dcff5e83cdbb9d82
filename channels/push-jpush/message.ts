/** What is said to JPush: the content's schema and the JSON of one push. */
import { Type, type Static } from 'typebox';

export const ContentSchema = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 200, description: 'First line, bold.' }),
    body: Type.String({ minLength: 1, maxLength: 2000, description: 'The text.' }),
    data: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_.-]{0,63}$' }),
        Type.String({ maxLength: 2000 }),
        {
          additionalProperties: false,
          maxProperties: 50,
          description: "The app's own keys (`extras`); not shown.",
          examples: [{ orderId: '{{orderId}}' }],
        },
      ),
    ),
    url: Type.Optional(
      Type.String({
        maxLength: 1000,
        description: 'What the app opens on a tap; given to it as the extra `url`.',
      }),
    ),
    intentUrl: Type.Optional(
      Type.String({
        maxLength: 1000,
        description:
          "What Android opens on a tap without the app's help: `intent:#Intent;…;end` or a deep link.",
      }),
    ),
    androidChannelId: Type.Optional(
      Type.String({ maxLength: 200, description: 'Notification channel of the Android app.' }),
    ),
    sound: Type.Optional(
      Type.String({ maxLength: 64, description: '`default`, or a sound file of the app.' }),
    ),
    badge: Type.Optional(
      Type.String({
        pattern: '^[+-]?[0-9]{1,2}$',
        description: "Number on the iOS app's icon: 5, or +1 to add to it.",
      }),
    ),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 864_000,
        description: 'How long it is kept for a device that is offline; default a day.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A notification through JPush.' },
);
export type JpushContent = Static<typeof ContentSchema>;

/**
 * The push as JSON. `ref` goes to the app as the extra `mcRef`, which wins over `data`, and makes a repeat replace the
 * first on iOS.
 */
export function pushJson(push: {
  readonly cid: string;
  readonly registrationIds: readonly string[];
  readonly content: JpushContent;
  readonly ref: string;
  readonly apnsProduction: boolean;
}): string {
  const { ttlSeconds } = push.content;
  return JSON.stringify({
    cid: push.cid,
    platform: 'all',
    audience: { registration_id: push.registrationIds },
    notification: notificationOf(push.content, push.ref),
    options: {
      time_to_live: ttlSeconds ?? 86_400,
      apns_production: push.apnsProduction,
      apns_collapse_id: push.ref,
    },
  });
}

/** JPush's limits on what it gives to each kind of device. */
export const maxIosBytes = 2000;
export const maxAndroidBytes = 4000;

/** Size of one part of the notification. */
export function partBytes(part: 'ios' | 'android', content: JpushContent, ref: string): number {
  return Buffer.byteLength(JSON.stringify(notificationOf(content, ref)[part]));
}

function notificationOf(content: JpushContent, ref: string) {
  const { title, body, data, url, intentUrl, androidChannelId, sound, badge } = content;
  const extras = { ...data, ...(url && { url }), mcRef: ref };
  return {
    alert: body,
    android: {
      alert: body,
      title,
      ...(androidChannelId && { channel_id: androidChannelId }),
      ...(intentUrl && { intent: { url: intentUrl } }),
      extras,
    },
    ios: {
      alert: { title, body },
      ...(sound && { sound }),
      ...(badge && { badge }),
      // Lets the app's extension report that it arrived: without it JPush cannot count deliveries on iOS.
      'mutable-content': true,
      extras,
    },
  };
}
