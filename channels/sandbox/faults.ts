/** What can be made to go wrong between a connector and its provider, by script or by chance. */
import { Type, type Static } from 'typebox';
import type { Random } from './random.ts';

/**
 * The fault points. "accept-then-…" and html-200 take the message and lose the answer: they are what creates duplicates.
 * Refusing connections is not among them: it concerns the listener (`setListening`).
 */
export const faultKinds = [
  'error',
  'reset',
  'accept-then-error',
  'accept-then-reset',
  'accept-then-hang',
  'slow-body',
  'html-200',
  'html-502',
  'silent-drop',
  'receipt-first',
] as const;

export const FaultRuleSchema = Type.Object(
  {
    kind: Type.Enum(faultKinds, { description: 'What goes wrong.' }),
    nextCalls: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Ends after this many calls; default: stays.' }),
    ),
    rate: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Share of the calls; default 1.' }),
    ),
    to: Type.Optional(
      Type.String({ description: 'Only calls to this address, as the provider writes it.' }),
    ),
    action: Type.Optional(Type.String({ description: 'Only this action (SendSms).' })),
    status: Type.Optional(
      Type.Integer({ minimum: 200, maximum: 599, description: 'HTTP status of error answers.' }),
    ),
    code: Type.Optional(Type.String({ description: 'Provider code of error answers.' })),
    message: Type.Optional(Type.String({ description: 'Provider text of error answers.' })),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
  },
  { additionalProperties: false },
);
export type FaultRule = Static<typeof FaultRuleSchema>;

export interface FaultPlan {
  /** Adds a rule; the earliest that fits a call decides. Gives its number. */
  add(rule: FaultRule): number;
  remove(id: number): boolean;
  clear(): void;
  /** How often each kind was played since the last clear. */
  played(): Readonly<Partial<Record<FaultRule['kind'], number>>>;
  list(): readonly (FaultRule & { readonly id: number })[];
  /** The fault of this call, if any; counts it down. */
  take(call: {
    readonly action: string;
    /** Addresses the call names, as the provider writes them. */
    readonly to: readonly string[];
  }): FaultRule | undefined;
}

/** An empty plan; `random` decides where a rule has a rate. */
export function createFaultPlan(random: Random): FaultPlan {
  let lastId = 0;
  let played: Partial<Record<FaultRule['kind'], number>> = {};
  let rules: { readonly id: number; readonly rule: FaultRule; left: number }[] = [];
  return {
    add: (rule) => {
      lastId += 1;
      rules.push({ id: lastId, rule, left: rule.nextCalls ?? Infinity });
      return lastId;
    },
    remove: (id) => {
      const before = rules.length;
      rules = rules.filter((entry) => entry.id !== id);
      return rules.length < before;
    },
    clear: () => {
      rules = [];
      played = {};
    },
    played: () => ({ ...played }),
    list: () =>
      rules.map(({ id, rule, left }) => ({
        ...rule,
        id,
        ...(left === Infinity ? {} : { nextCalls: left }),
      })),
    take: ({ action, to }) => {
      if (rules.length === 0) return undefined;
      const hit = rules.find(
        ({ rule }) =>
          (rule.action === undefined || rule.action === action) &&
          (rule.to === undefined || to.includes(rule.to)) &&
          (rule.rate === undefined || random() < rule.rate),
      );
      if (hit === undefined) return undefined;
      hit.left -= 1;
      played[hit.rule.kind] = (played[hit.rule.kind] ?? 0) + 1;
      if (hit.left <= 0) rules = rules.filter((entry) => entry !== hit);
      return hit.rule;
    },
  };
}
