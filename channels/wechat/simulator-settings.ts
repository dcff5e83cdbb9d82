/** What the simulated WeChat knows from the start, and what it can be told while it runs. */
import { Type, type Static } from 'typebox';
import {
  commonDefaults,
  commonSettings,
  receiptDefaults,
  receiptSettings,
} from '../sandbox/provider.ts';

/** A template of an account. The two libraries are apart: an id of one is unknown in the other. */
export interface TemplateEntry {
  readonly templateId: string;
  readonly library: 'template' | 'subscribe';
  /** As people see it, with `{{thing1.DATA}}` for its fields. */
  readonly text: string;
}

/** An official account or mini-program. */
export interface AppEntry {
  readonly appId: string;
  readonly appSecret: string;
  readonly kind: 'official' | 'miniprogram';
  /** `ToUserName` of pushes. */
  readonly originalId: string;
  readonly pushToken: string;
  readonly encodingAesKey: string;
  readonly templates: readonly TemplateEntry[];
  /** Pages of the released mini-program, without query. */
  readonly pages?: readonly string[];
}

export const SettingsSchema = Type.Object({
  ...commonSettings,
  ...receiptSettings,
  receiptUrls: Type.Record(Type.String(), Type.String({ pattern: '^https?://' }), {
    description: 'AppID → where its receipts are pushed; the others go to receiptUrl.',
  }),
  pushFormat: Type.Enum(['xml', 'json'], { description: 'How pushes are written.' }),
  tokenLifeSeconds: Type.Integer({ minimum: 1 }),
  dailyQuota: Type.Integer({
    minimum: 0,
    description: 'Messages of one AppID in a day of UTC+8 (45009).',
  }),
  recipientWindow: Type.Union(
    [
      Type.Null(),
      Type.Object(
        { count: Type.Integer({ minimum: 1 }), windowSeconds: Type.Number({ minimum: 1 }) },
        { additionalProperties: false },
      ),
    ],
    { description: 'Messages to one person in a rolling window (43117); null: any number.' },
  ),
  defaultGrants: Type.Union([Type.Null(), Type.Integer({ minimum: 0 })], {
    description:
      'Messages of one subscription template that a person accepted, where nothing was set for them; null: any number.',
  }),
});
export type WechatSimulatorSettings = Static<typeof SettingsSchema>;

export const defaultSettings: WechatSimulatorSettings = {
  ...commonDefaults,
  ...receiptDefaults,
  receiptUrls: {},
  pushFormat: 'xml',
  tokenLifeSeconds: 7200,
  dailyQuota: 100_000,
  recipientWindow: null,
  defaultGrants: null,
};

/** What a person is to an account, by the code that sending to them gets. */
export const relations = ['follower', '40003', '43004', '43019', '43101', '43117'] as const;
export type Relation = (typeof relations)[number];

/** What becomes of a message that was taken. */
export const fates = ['delivered', 'block', 'system', 'freq', 'never'] as const;
export type Fate = (typeof fates)[number];

/** An openid with a meaning: `o-sandbox-43004-000000000000`. Those of no meaning belong to followers and readers. */
export function magicOpenid(word: Relation | Fate): string {
  return `o-sandbox-${word}-`.padEnd(28, '0');
}

const wordOf = (openid: string) => /^o-sandbox-([a-z0-9]+)-0+$/.exec(openid)?.[1];

export function relationOf(openid: string): Relation {
  return relations.find((relation) => relation === wordOf(openid)) ?? 'follower';
}

export function fateOf(openid: string): Fate {
  return fates.find((fate) => fate === wordOf(openid)) ?? 'delivered';
}
