/** What of the simulated provider can be turned while it runs, and the numbers that stand for people and carriers. */
import { Type, type Static } from 'typebox';

const Windows = Type.Array(
  Type.Object(
    { count: Type.Integer({ minimum: 1 }), windowSeconds: Type.Integer({ minimum: 1 }) },
    { additionalProperties: false },
  ),
);

export const SimulatorSettingsSchema = Type.Object(
  {
    clockScale: Type.Number({
      exclusiveMinimum: 0,
      description: 'Simulated seconds in a real one: 1440 makes 24-hour windows last a minute.',
    }),
    windows: Type.Union(
      [
        Type.Null(),
        Type.Object(
          { otp: Windows, notice: Windows, marketing: Windows, platformOtp: Windows },
          { additionalProperties: false },
        ),
      ],
      { description: 'Limits per number by kind of template; null: none, for load tests.' },
    ),
    exemptPhones: Type.Array(Type.String(), { description: 'Test numbers that have no windows.' }),
    qps: Type.Integer({ minimum: 1, description: 'Calls an account may make within any second.' }),
    balance: Type.Union([Type.Null(), Type.Integer({ minimum: 0 })], {
      description: 'SMS units left (70 or 67 characters each); null: endless.',
    }),
    latencyMedianMs: Type.Number({ minimum: 0, description: 'Of an answer; 0: at once.' }),
    latencyP99Ms: Type.Number({ minimum: 0 }),
    receiptUrl: Type.Union([Type.Null(), Type.String({ pattern: '^https?://' })], {
      description: 'Where receipts are pushed; null: nowhere.',
    }),
    receiptsPaused: Type.Boolean(),
    receiptMedianMs: Type.Number({ minimum: 0, description: 'Simulated time until a receipt.' }),
    receiptP99Ms: Type.Number({ minimum: 0 }),
    receiptDuplicateRate: Type.Number({ minimum: 0, maximum: 1 }),
    receiptLostRate: Type.Number({ minimum: 0, maximum: 1, description: 'Never pushed.' }),
    receiptMaxBatch: Type.Integer({ minimum: 1, maximum: 100 }),
  },
  { additionalProperties: false },
);
export type SimulatorSettings = Static<typeof SimulatorSettingsSchema>;

/** Documented limits; latency and receipt times are assumptions, for the provider publishes none. */
export const defaultSimulatorSettings: SimulatorSettings = {
  clockScale: 1,
  windows: {
    otp: [
      { count: 1, windowSeconds: 60 },
      { count: 5, windowSeconds: 3600 },
      { count: 10, windowSeconds: 86_400 },
    ],
    notice: [{ count: 50, windowSeconds: 86_400 }],
    marketing: [{ count: 50, windowSeconds: 86_400 }],
    platformOtp: [{ count: 40, windowSeconds: 86_400 }],
  },
  exemptPhones: [],
  qps: 5000,
  balance: null,
  latencyMedianMs: 0,
  latencyP99Ms: 0,
  receiptUrl: null,
  receiptsPaused: false,
  receiptMedianMs: 3000,
  receiptP99Ms: 60_000,
  receiptDuplicateRate: 0.01,
  receiptLostRate: 0,
  receiptMaxBatch: 100,
};

export const TemplateRegistrationSchema = Type.Object(
  {
    templateCode: Type.String({ minLength: 1 }),
    text: Type.String({ minLength: 1, description: 'With `${name}` for each variable.' }),
    kind: Type.Union([Type.Literal('otp'), Type.Literal('notice'), Type.Literal('marketing')]),
  },
  { additionalProperties: false },
);
export type TemplateRegistration = Static<typeof TemplateRegistrationSchema>;

/** Longest text with its signature, in characters. An assumption: the documents give none for this API. */
export const maxTextLength = 500;

/** Receipt code by number, for tests and curious newcomers; `never`: no receipt comes. */
export const magicReceipts: Readonly<Record<string, string>> = {
  '19999990001': 'MK:0001',
  '19999990002': 'MK:0005',
  '19999990003': 'MK:0010',
  '19999990004': 'UNDELIV',
  '19999990005': 'EXPIRED',
  '19999990006': 'REJECTD',
  '19999990007': 'MOBILE_IN_BLACK',
  '19999990008': 'never',
};

/** Code that a send to this number is refused with. */
export const magicRefusals: Readonly<Record<string, string>> = {
  '19999990101': 'isv.MOBILE_NUMBER_ILLEGAL',
  '19999990102': 'isv.BLACK_KEY_CONTROL_LIMIT',
  '19999990103': 'isp.SYSTEM_ERROR',
};

/** Units a text is billed in: 70 characters in one, else 67 in each. */
export function smsUnits(text: string): number {
  return text.length <= 70 ? 1 : Math.ceil(text.length / 67);
}
