/** What the simulated JPush refuses of a push, in the words and sizes of its documents. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';

export interface Refused {
  readonly status: number;
  readonly code: number;
  readonly message: string;
}

const refuse = (status: number, code: number, message: string): Refused => ({
  status,
  code,
  message,
});
const wrong = (message: string) => refuse(400, 1003, message);

const ExtrasSchema = Type.Record(Type.String(), Type.Unknown());
const text = Type.String();
const closed = { additionalProperties: false };
const NotificationSchema = Type.Object(
  {
    alert: Type.Optional(text),
    android: Type.Optional(
      Type.Object(
        {
          alert: text,
          title: Type.Optional(text),
          channel_id: Type.Optional(text),
          intent: Type.Optional(Type.Object({ url: text }, closed)),
          extras: Type.Optional(ExtrasSchema),
        },
        closed,
      ),
    ),
    ios: Type.Optional(
      Type.Object(
        {
          alert: Type.Union([
            text,
            Type.Object({ title: Type.Optional(text), body: Type.Optional(text) }, closed),
          ]),
          sound: Type.Optional(text),
          badge: Type.Optional(
            Type.Union([Type.Integer(), Type.String({ pattern: '^[+-]?\\d{1,2}$' })]),
          ),
          'mutable-content': Type.Optional(Type.Boolean()),
          extras: Type.Optional(ExtrasSchema),
        },
        closed,
      ),
    ),
  },
  closed,
);
const OptionsSchema = Type.Object(
  {
    sendno: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 })),
    time_to_live: Type.Optional(Type.Integer({ minimum: 0, maximum: 864_000 })),
    apns_production: Type.Optional(Type.Boolean()),
    apns_collapse_id: Type.Optional(Type.String({ maxLength: 64 })),
  },
  closed,
);
const AudienceSchema = Type.Object(
  { registration_id: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 1000 }) },
  closed,
);
const PushSchema = Type.Object({
  cid: Type.Optional(text),
  platform: Type.Unknown(),
  audience: Type.Unknown(),
  notification: Type.Unknown(),
  options: Type.Optional(Type.Unknown()),
});
const parts = ['cid', 'platform', 'audience', 'notification', 'message', 'sms_message', 'options'];
const platforms = ['android', 'ios', 'hmos', 'quickapp'];
const maxIosBytes = 2000;
const maxAndroidBytes = 4000;

export interface CheckedPush {
  readonly cid: string | undefined;
  readonly sendno: number;
  /** Those of the app's devices among them. */
  readonly devices: readonly string[];
  readonly ref: string;
  readonly text: string;
}

/** Prefix of a registration id → what becomes of a push to it alone. */
export const magicIds = { dead1003: 'bad', dead1011: 'gone', dead2005: 'too many' } as const;

/** What an id is to this app. Real ones are hex of 11 to 19 digits; whatever has that form is a device here. */
export function deviceKind(id: string): 'good' | (typeof magicIds)[keyof typeof magicIds] {
  const prefix = id.slice(0, 8);
  if (Object.hasOwn(magicIds, prefix)) return magicIds[prefix as keyof typeof magicIds];
  return /^[0-9a-f]{11,19}$/.test(id) ? 'good' : 'bad';
}

/** A push as it was understood, or why it is refused. */
export function checkPush(body: string): CheckedPush | Refused {
  const push = parseJson(body);
  if (typeof push !== 'object' || push === null) return refuse(400, 1002, 'Missing parameter');
  const odd = Object.keys(push).find((key) => !parts.includes(key));
  if (odd !== undefined) return refuse(400, 1009, `unsupported key ${odd}`);
  if (!Check(PushSchema, push)) return refuse(400, 1002, 'Missing parameter');
  const { platform, audience, notification, options = {}, cid } = push;
  const isPlatform =
    platform === 'all' ||
    (Array.isArray(platform) && platform.every((each) => platforms.includes(each as string)));
  if (!isPlatform) return wrong('Platform value is invalid!');
  if (!Check(AudienceSchema, audience)) return wrong('Audience value must be JSON Array format!');
  if (!Check(NotificationSchema, notification)) return wrong('The notification is invalid!');
  if (!Check(OptionsSchema, options)) return wrong('The options are invalid!');
  const { android, ios } = notification;
  if (sizeOf(android) > maxAndroidBytes || sizeOf(ios) > maxIosBytes)
    return refuse(400, 1005, 'Message body is too large');
  const devices = devicesOf(audience.registration_id);
  if (!Array.isArray(devices)) return devices as Refused;
  const ref = android?.extras?.['mcRef'] ?? ios?.extras?.['mcRef'];
  return {
    cid,
    sendno: options.sendno ?? 0,
    devices,
    ref: typeof ref === 'string' ? ref : '',
    text: textOf(notification),
  };
}

const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value ?? {}));

/** Bad ids count for one that stands alone only; among others they are passed over. */
function devicesOf(ids: readonly string[]): readonly string[] | Refused {
  const [only = ''] = ids;
  const kind = ids.length === 1 ? deviceKind(only) : undefined;
  if (kind === 'bad') return wrong(`The registration_id ${only} is invalid!`);
  if (kind === 'too many')
    return refuse(403, 2005, `${only}: too many messages for this target user`);
  const good = ids.filter((id) => deviceKind(id) === 'good');
  return good.length > 0
    ? good
    : refuse(
        400,
        1011,
        'cannot find user by this audience or has been inactive for more than 255 days',
      );
}

function textOf({ alert = '', android, ios }: Static<typeof NotificationSchema>): string {
  if (android !== undefined)
    return [android.title, android.alert].filter((line) => line !== undefined).join('\n');
  if (ios === undefined) return alert;
  return typeof ios.alert === 'string' ? ios.alert : Object.values(ios.alert).join('\n');
}
