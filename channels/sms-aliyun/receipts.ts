/**
 * Delivery receipts (SmsReport) and replies (SmsUp) that Alibaba Cloud pushes as JSON arrays
 * (help.aliyun.com/document_detail/101867.html and 101847.html). The push is not signed: a token in the URL protects it.
 */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type {
  AskedReceipt,
  OptOut,
  ReceiptParse,
  ReceiptRequest,
} from '../../contracts/channel.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { parseJson } from '../kit/answers.ts';
import { isSame } from '../kit/is-same.ts';
import { fromProviderNumber, maskNumbers, normalNumber } from './address.ts';
import { batchMemberId } from './batch-ids.ts';
import { providerTime } from './time.ts';

/** Receipt code → delivered, or what the failure means. A trailing `*` stands for any ending. */
export const receiptCodes: Readonly<Record<string, 'delivered' | OutcomeClass>> = {
  DELIVERED: 'delivered',
  DELIVRD: 'delivered',
  'MK:0000': 'recipient-invalid',
  'MK:0001': 'recipient-invalid',
  INVALID_NUMBER: 'recipient-invalid',
  'isv.MOBILE_NUMBER_ILLEGAL': 'recipient-invalid',
  MBBLACK: 'recipient-refused',
  DBBLACK: 'recipient-refused',
  MOBILE_IN_BLACK: 'recipient-refused',
  USER_REJECT: 'recipient-refused',
  REJECTD: 'content-rejected',
  CONTENT_KEYWORD: 'content-rejected',
  CONTENT_ERROR: 'content-rejected',
  'isv.BLACK_KEY_CONTROL_LIMIT': 'content-rejected',
  'isv.SMS_CONTENT_ILLEGAL': 'content-rejected',
  'isv.SMS_TEMPLATE_ILLEGAL': 'template-invalid',
  'isv.SMS_SIGNATURE_ILLEGAL': 'template-invalid',
  'isv.AMOUNT_NOT_ENOUGH': 'quota-exhausted',
  'MK:0005': 'transient',
  'MK:0010': 'transient',
  'MK:0012': 'transient',
  'MK:0013': 'transient',
  'MK:0023': 'transient',
  UNDELIV: 'transient',
  EXPIRED: 'transient',
  '*': 'transient',
};

/**
 * Replies by which a person says that they want no more, in capitals. R is what Alibaba Cloud has every marketing text
 * end with (拒收请回复R, help.aliyun.com/document_detail/91975.html); the others are older and other carriers' words.
 */
export const optOutReplies: readonly string[] = ['R', 'TD', 'T', 'N', 'QX', '退订', '取消', '拒收'];

const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const ReportSchema = Type.Object({
  success: Type.Boolean(),
  phone_number: Text,
  err_code: Text,
  err_msg: Text,
  send_time: Text,
  report_time: Text,
  biz_id: Text,
  out_id: Text,
});
type Report = Static<typeof ReportSchema>;
const ReplySchema = Type.Object({
  phone_number: Type.String(),
  content: Type.String(),
  send_time: Text,
});
type Reply = Static<typeof ReplySchema>;

const acknowledgement = {
  status: 200,
  contentType: 'application/json;charset=utf-8',
  body: '{"code":0,"msg":"接收成功"}',
} as const;

export interface ReceiptCheck {
  /** What `?token=` must say; undefined: the address is protected by other means. */
  readonly token: string | undefined;
  readonly now: () => number;
}

/**
 * Reads one push. Replies of people (SmsUp: entries without `success`) are opt-outs where they say so. Other replies and
 * receipts that name no message are acknowledged and yield nothing: refusing them would only make the provider repeat
 * the whole array.
 */
export function parseReceipts(request: ReceiptRequest, check: ReceiptCheck): ReceiptParse {
  if (check.token !== undefined && !isSame(request.query['token'] ?? '', check.token))
    return { result: 'refused', reason: 'signature', detail: 'the token in the URL is not ours' };
  if (request.method !== 'POST')
    return { result: 'refused', reason: 'malformed', detail: 'receipts come by POST' };
  const entries = parseJson(Buffer.from(request.body).toString('utf8'));
  if (!Array.isArray(entries))
    return { result: 'refused', reason: 'malformed', detail: 'the body is not a JSON array' };
  const nowMs = check.now();
  const receipts: AskedReceipt[] = [];
  const optOuts: OptOut[] = [];
  for (const entry of entries as readonly unknown[])
    if (Check(ReportSchema, entry)) receipts.push(...toReceipt(entry, nowMs));
    else if (Check(ReplySchema, entry)) optOuts.push(...toOptOut(entry, nowMs));
  return {
    result: 'receipts',
    receipts,
    ...(optOuts.length > 0 && { optOuts }),
    reply: acknowledgement,
  };
}

/** What a failure means for the address and for us. */
export function failureMeaning(code: string | null | undefined): OutcomeClass {
  const meaning = code && Object.hasOwn(receiptCodes, code) ? receiptCodes[code] : undefined;
  return meaning === undefined || meaning === 'delivered' ? 'transient' : meaning;
}

function toReceipt(report: Report, nowMs: number): readonly AskedReceipt[] {
  const ids = idsOf(report);
  if (ids === undefined) return [];
  const { err_code: code, err_msg: message } = report;
  const said = {
    ...ids,
    ...(code && { providerCode: code }),
    ...(message && { providerMessage: maskNumbers(message).slice(0, 300) }),
    occurredAt:
      providerTime(report.report_time) ??
      providerTime(report.send_time) ??
      new Date(nowMs).toISOString(),
  };
  return report.success
    ? [{ ...said, status: 'delivered' }]
    : [{ ...said, status: 'failed', outcome: failureMeaning(code) }];
}

/** Ids of the message: our key where it was sent alone; BizId and number where the call was for several, or not ours. */
function idsOf(report: Report): Pick<AskedReceipt, 'deliveryKey' | 'providerId'> | undefined {
  const { out_id: outId, biz_id: bizId, phone_number: number } = report;
  if (outId && !outId.startsWith('msg_'))
    return bizId && number ? { providerId: batchMemberId(bizId, normalNumber(number)) } : undefined;
  if (!outId && !bizId) return undefined;
  return { ...(outId && { deliveryKey: outId }), ...(bizId && { providerId: bizId }) };
}

function toOptOut(reply: Reply, nowMs: number): readonly OptOut[] {
  const to = fromProviderNumber(reply.phone_number);
  // Full-width letters are what Chinese keyboards easily give.
  const content = reply.content.normalize('NFKC').trim().toUpperCase();
  if (to === undefined || !optOutReplies.includes(content)) return [];
  const occurredAt = providerTime(reply.send_time) ?? new Date(nowMs).toISOString();
  return [{ to, isOut: true, occurredAt, how: 'reply-td' }];
}
