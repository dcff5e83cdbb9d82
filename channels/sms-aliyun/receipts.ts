/**
 * Delivery receipts (SmsReport) and replies (SmsUp) that Alibaba Cloud pushes as JSON arrays
 * (help.aliyun.com/document_detail/101867.html and 101847.html). The push is not signed: a token in the URL protects it.
 */
import { timingSafeEqual } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { ReceiptParse, ReceiptRequest } from '../../contracts/channel.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { maskNumbers } from './address.ts';
import { parseJson } from './classify.ts';
import { sha256Hex } from './sign.ts';

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

const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const ReportSchema = Type.Object({
  success: Type.Boolean(),
  err_code: Text,
  err_msg: Text,
  send_time: Text,
  report_time: Text,
  biz_id: Text,
  out_id: Text,
});
type Report = Static<typeof ReportSchema>;

const acknowledgement = {
  status: 200,
  contentType: 'application/json;charset=utf-8',
  body: '{"code":0,"msg":"接收成功"}',
} as const;

type ParsedReceipt = (ReceiptParse & { result: 'receipts' })['receipts'][number];

export interface ReceiptCheck {
  /** What `?token=` must say; undefined: the address is protected by other means. */
  readonly token: string | undefined;
  readonly now: () => number;
}

/**
 * Reads one push. Replies of people (SmsUp: entries without `success`) and receipts that name no message of ours are
 * acknowledged and yield nothing: refusing them would only make the provider repeat the whole array.
 */
export function parseReceipts(request: ReceiptRequest, check: ReceiptCheck): ReceiptParse {
  if (check.token !== undefined && !isSame(request.query['token'] ?? '', check.token))
    return { result: 'refused', reason: 'signature', detail: 'the token in the URL is not ours' };
  if (request.method !== 'POST')
    return { result: 'refused', reason: 'malformed', detail: 'receipts come by POST' };
  const entries = parseJson(Buffer.from(request.body).toString('utf8'));
  if (!Array.isArray(entries))
    return { result: 'refused', reason: 'malformed', detail: 'the body is not a JSON array' };
  const receipts = entries
    .filter((entry) => Check(ReportSchema, entry))
    .flatMap((report) => toReceipt(report, check.now()) ?? []);
  return { result: 'receipts', receipts, reply: acknowledgement };
}

function toReceipt(report: Report, nowMs: number): ParsedReceipt | undefined {
  const { out_id: deliveryKey, biz_id: providerId, err_code: code, err_msg: message } = report;
  if (!deliveryKey && !providerId) return undefined;
  const said = {
    ...(deliveryKey && { deliveryKey }),
    ...(providerId && { providerId }),
    ...(code && { providerCode: code }),
    ...(message && { providerMessage: maskNumbers(message).slice(0, 300) }),
    occurredAt:
      toIso(report.report_time) ?? toIso(report.send_time) ?? new Date(nowMs).toISOString(),
  };
  if (report.success) return { ...said, status: 'delivered' };
  const meaning = (code && receiptCodes[code]) || 'transient';
  return { ...said, status: 'failed', outcome: meaning === 'delivered' ? 'transient' : meaning };
}

/** `2017-01-01 00:00:00` in UTC+8 as ISO in UTC, or undefined. */
function toIso(time: string | null | undefined): string | undefined {
  if (!time || !/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/.test(time)) return undefined;
  const date = new Date(`${time.replace(' ', 'T')}+08:00`);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** Compares in constant time; hashing first hides the length too. */
function isSame(given: string, wanted: string): boolean {
  return timingSafeEqual(Buffer.from(sha256Hex(given)), Buffer.from(sha256Hex(wanted)));
}
