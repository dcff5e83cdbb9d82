/** What the WeCom simulator can be told, its people with a meaning, and how it answers. */
import { Type, type Static } from 'typebox';
import { commonDefaults, commonSettings, type ServedReply } from '../sandbox/provider.ts';

const limit = (description: string) =>
  Type.Union([Type.Null(), Type.Integer({ minimum: 1 })], {
    description: `${description} null: none.`,
  });

export const WecomSettingsSchema = Type.Object(
  {
    ...commonSettings,
    memberPerMinute: limit(
      'Messages of an app to a member in 60 s; the excess is dropped silently.',
    ),
    memberPerHour: limit('The same in an hour.'),
    personSendsPerDay: limit('Recipients of an app in a day.'),
    apiPerMinute: limit('Calls of one API other than message/send in 60 s, else blocked for 60 s.'),
    apiPerHour: limit('The same in an hour, else blocked for an hour.'),
    robotPerMinute: limit('Messages of a robot in 60 s.'),
    badSecretsPerHour: limit('Wrong secrets until the corporation is locked out for an hour.'),
    tokenLifeSeconds: Type.Integer({ minimum: 1 }),
    isIpAllowed: Type.Boolean({
      description: 'false: our address is not on the allowlist (60020).',
    }),
    ignoresUnknownMembers: Type.Boolean({
      description: 'true: the check for repeats does not see members it does not know.',
    }),
    employeeConfirmsAfterMs: Type.Union([Type.Null(), Type.Integer({ minimum: 0 })], {
      description: 'Simulated time until an employee sends a task; null: never.',
    }),
  },
  { additionalProperties: false },
);
export type WecomSettings = Static<typeof WecomSettingsSchema>;

export const defaultWecomSettings: WecomSettings = {
  ...commonDefaults,
  memberPerMinute: 30,
  memberPerHour: 1000,
  personSendsPerDay: 200_000,
  apiPerMinute: 10_000,
  apiPerHour: 150_000,
  robotPerMinute: 20,
  badSecretsPerHour: 2000,
  tokenLifeSeconds: 7200,
  isIpAllowed: true,
  ignoresUnknownMembers: false,
  employeeConfirmsAfterMs: 30_000,
};

/** Beginnings of member ids, in any case; every other well-formed id is a member with a licence. */
export const memberPrefixes = { invalid: 'gone-', unlicensed: 'unlicensed-', unbound: 'unbound-' };

/** Beginnings of customer ids; every other well-formed id is a customer of every member. */
export const customerPrefixes = {
  malformed: 'wmbad',
  unrelated: 'wmstranger',
  unreachable: 'wmfail',
  unfriended: 'wmleft',
  full: 'wmfull',
};

export interface WecomSimulatorOptions {
  readonly seed: number;
  readonly settings?: Partial<WecomSettings>;
  readonly corpId: string;
  /** Apps: `hasCustomers`, whether it may use customer contact. */
  readonly apps: readonly WecomApp[];
  /** Group's name → key of its robot. */
  readonly robots: Readonly<Record<string, string>>;
}

export interface WecomApp {
  readonly agentId: number;
  readonly secret: string;
  readonly hasCustomers: boolean;
}

/** `errcode` 0 and more. */
export function done(body: object = {}): ServedReply {
  return reply('OK', { errcode: 0, errmsg: 'ok', ...body });
}

/** WeCom answers 200 to whatever it refuses. */
export function refuse(errcode: number, errmsg: string, more: object = {}): ServedReply {
  return reply(String(errcode), {
    errcode,
    errmsg: `${errmsg}, hint: [1700000000_57_c0ffee], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/devtool/query?e=${errcode}`,
    ...more,
  });
}

const reply = (code: string, body: object): ServedReply => ({
  status: 200,
  code,
  body: JSON.stringify(body),
});

/** A refusal where something wanted to be read, or what was read. */
export type Read<Value> =
  { readonly refusal: ServedReply } | { readonly refusal?: undefined; readonly value: Value };
