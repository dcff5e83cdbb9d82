/**
 * What an answer of the WeCom API means: one row per code (developer.work.weixin.qq.com/document/path/90313), and rules
 * for what has no row. Pure; docs/channels/wecom.md shows the same rows and a test compares them.
 */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { addressOf, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { parseJson, unreadableAnswer, withoutAnswer } from '../kit/answers.ts';

export type AnswerMeaning =
  | 'accepted'
  | 'transient'
  | 'auth-expired'
  | 'auth-invalid'
  | 'rate-limited (channel-app)'
  | 'rate-limited (recipient)'
  | 'recipient-invalid'
  | 'recipient-refused'
  | 'content-rejected';

type Codes = Readonly<Record<string, AnswerMeaning>>;

/** `errcode` → meaning, for all calls. */
export const answerCodes: Codes = {
  '0': 'accepted',
  '-1': 'transient',
  '6000': 'transient',
  '40014': 'auth-expired',
  '41001': 'auth-expired',
  '42001': 'auth-expired',
  '40001': 'auth-invalid',
  '40013': 'auth-invalid',
  '40056': 'auth-invalid',
  '40091': 'auth-invalid',
  '48002': 'auth-invalid',
  '50003': 'auth-invalid',
  '60011': 'auth-invalid',
  '60020': 'auth-invalid',
  '301002': 'auth-invalid',
  '45009': 'rate-limited (channel-app)',
  '45033': 'rate-limited (channel-app)',
  '40003': 'recipient-invalid',
  '46004': 'recipient-invalid',
  '50002': 'recipient-invalid',
  '60111': 'recipient-invalid',
  '81013': 'recipient-invalid',
  '82001': 'recipient-invalid',
  '43004': 'recipient-refused',
  '40007': 'content-rejected',
  '40008': 'content-rejected',
  '40035': 'content-rejected',
  '40058': 'content-rejected',
  '41011': 'content-rejected',
  '44004': 'content-rejected',
  '45002': 'content-rejected',
  '45004': 'content-rejected',
  '47001': 'content-rejected',
  '82002': 'content-rejected',
  '82003': 'content-rejected',
};

/** What only tasks for customers add. A `sender` that is no member (60111) is wrong in what we said, not in the customer. */
export const customerCodes: Codes = {
  '40096': 'recipient-invalid',
  '41048': 'recipient-invalid',
  '84061': 'recipient-invalid',
  '60111': 'content-rejected',
};

/** What group robots say otherwise: a robot is one group, so its limit holds up only that group. */
export const robotCodes: Codes = {
  '93000': 'auth-invalid',
  '45009': 'rate-limited (recipient)',
};

/** An answer of any call as the API writes it; more fields may be there. */
const AnswerSchema = Type.Object({
  errcode: Type.Integer(),
  errmsg: Type.Optional(Type.String()),
  msgid: Type.Optional(Type.String()),
  invaliduser: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  unlicenseduser: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  fail_list: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
});
type WecomBody = Static<typeof AnswerSchema>;

export interface ReadAnswer {
  /** accepted: `errcode` 0; `providerId` is the msgid, '' where the call has none. */
  readonly outcome: SendOutcome;
  readonly body: WecomBody | undefined;
}

export interface ClassifyContext {
  /** Codes that go before `answerCodes`. */
  readonly own?: Codes | undefined;
  /** Whose addresses must not get into texts. */
  readonly to: readonly To[];
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly random: number;
}

const blockMs = 60_000;
const concurrencyMs = 1000;

/**
 * The outcome of a call from what came back. A code that says "refused" is believed at any HTTP status; a code without
 * a row is a refusal of unknown kind (transient), in a 5xx it says nothing about how far the call got. `errmsg` is never
 * read: the provider changes it at will.
 */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): ReadAnswer {
  if (answer.kind !== 'answer') return { outcome: withoutAnswer(answer), body: undefined };
  const body = parseJson(answer.body);
  if (!Check(AnswerSchema, body))
    return { outcome: unreadableAnswer(answer.status, undefined, context.random), body: undefined };
  const code = String(body.errcode);
  const said = { providerCode: code, providerMessage: quiet(body.errmsg ?? '', context.to) };
  const meaning = meaningOf(code, context.own);
  if (answer.status >= 500 && (meaning === 'transient' || meaning === 'accepted'))
    return { outcome: { ...said, class: 'ambiguous' }, body };
  const outcome = (): SendOutcome => {
    switch (meaning) {
      case 'accepted':
        return answer.status >= 300
          ? { ...said, class: 'ambiguous' }
          : { ...said, class: 'accepted', providerId: body.msgid ?? '' };
      case 'rate-limited (channel-app)':
      case 'rate-limited (recipient)': {
        const retryAfterMs =
          (code === '45033' ? concurrencyMs : blockMs) + Math.floor(context.random * 1000);
        const scope = meaning === 'rate-limited (recipient)' ? 'recipient' : 'channel-app';
        return { ...said, class: 'rate-limited', scope, retryAfterMs };
      }
      case 'transient':
      case 'auth-expired':
      case 'auth-invalid':
      case 'recipient-invalid':
      case 'recipient-refused':
      case 'content-rejected':
        return { ...said, class: meaning };
    }
  };
  return { outcome: outcome(), body };
}

function meaningOf(code: string, own: Codes | undefined): AnswerMeaning {
  for (const codes of [own, answerCodes])
    if (codes !== undefined && Object.hasOwn(codes, code)) return codes[code] ?? 'transient';
  return 'transient';
}

/** Members of a `|` list, compared as WeCom does: without regard to case. */
export function membersOf(list: string | null | undefined): ReadonlySet<string> {
  return new Set((list ?? '').toLowerCase().split('|').filter(Boolean));
}

/** Without the addresses, which WeCom repeats in lower case, and cut; its hints carry our IP address and no secret. */
function quiet(text: string, to: readonly To[]): string {
  return to
    .reduce((rest, each) => {
      const value = addressOf(each).value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return rest.replace(new RegExp(value, 'gi'), '***');
    }, text)
    .slice(0, 300);
}
