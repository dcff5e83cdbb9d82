/**
 * Delivery receipts, version 2, that Huawei pushes in arrays of up to 100
 * (developer.huawei.com/consumer/cn/doc/harmonyos-guides/push-msg-receipt).
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { AskedReceipt, ReceiptParse, ReceiptRequest } from '../../contracts/channel.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { parseJson } from '../kit/answers.ts';
import { batchNotifyId, batchProviderId } from './message.ts';

/** `deliveryStatus.result` → delivered, or what the failure means; `*`: any other. */
export const receiptCodes: Readonly<Record<string, 'delivered' | OutcomeClass>> = {
  '0': 'delivered',
  '2': 'recipient-invalid',
  '5': 'recipient-invalid',
  '6': 'recipient-refused',
  '264': 'recipient-refused',
  '31': 'content-rejected',
  '144': 'content-rejected',
  '259': 'content-rejected',
  '102': 'rate-limited',
  '256': 'rate-limited',
  '10': 'transient',
  '14': 'transient',
  '15': 'transient',
  '22': 'transient',
  '27': 'transient',
  '51': 'transient',
  '151': 'transient',
  '188': 'transient',
  '191': 'transient',
  '201': 'transient',
  '*': 'transient',
};

const BodySchema = Type.Object({ statuses: Type.Array(Type.Unknown()) });
const StatusSchema = Type.Object({
  token: Type.String({ minLength: 1 }),
  biTag: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  requestId: Type.String({ minLength: 1 }),
  deliveryStatus: Type.Object({ result: Type.Integer(), timestamp: Type.Integer() }),
});

export interface ReceiptCheck {
  /** Name and key of the callback as set at Huawei; without a key nothing is checked. */
  readonly callbackUser: string;
  readonly callbackKey: string | undefined;
  readonly now: () => number;
}

const reply = {
  status: 200,
  contentType: 'application/json',
  body: '{"code":"0","message":"success"}',
} as const;
/** How far the timestamp of a push may be from our clock. */
const maxSkewMs = 600_000;

/** Reads one push. Entries that tell nothing of a notification (widgets, Huawei's own test) yield nothing. */
export function parseReceipts(request: ReceiptRequest, check: ReceiptCheck): ReceiptParse {
  const fault = signatureFault(request.headers['x-huawei-callback-id'] ?? '', check);
  if (fault !== undefined) return { result: 'refused', reason: 'signature', detail: fault };
  if (request.method !== 'POST')
    return { result: 'refused', reason: 'malformed', detail: 'receipts come by POST' };
  const body = parseJson(Buffer.from(request.body).toString('utf8'));
  if (!Check(BodySchema, body))
    return { result: 'refused', reason: 'malformed', detail: 'the body has no array of statuses' };
  const receipts = body.statuses
    .filter((status) => Check(StatusSchema, status))
    .map((status) => toReceipt(status, check.now()));
  return { result: 'receipts', receipts, reply };
}

/** `timestamp=…; nonce=…; value=base64(HMAC-SHA256(key, timestamp + nonce + user))`. */
function signatureFault(header: string, check: ReceiptCheck): string | undefined {
  const { callbackKey, callbackUser, now } = check;
  if (callbackKey === undefined) return undefined;
  const fields = new Map(
    header.split(';').map((field) => {
      const [name = '', ...value] = field.trim().split('=');
      return [name, value.join('=')];
    }),
  );
  const timestamp = fields.get('timestamp') ?? '';
  const given = Buffer.from(fields.get('value') ?? '', 'base64');
  const signed = `${timestamp}${fields.get('nonce') ?? ''}${callbackUser}`;
  const isSigned = keysOf(callbackKey)
    .map((key) => createHmac('sha256', key).update(signed).digest())
    .map((wanted) => given.length === wanted.length && timingSafeEqual(given, wanted))
    .includes(true);
  if (!isSigned) return 'the signature is not ours';
  const skewMs = Math.abs(now() - Number(timestamp));
  return skewMs <= maxSkewMs ? undefined : 'the timestamp is too far from our clock';
}

/** Keys that Huawei's console makes are Base64 of the bytes; those of older set-ups are the text itself. */
function keysOf(callbackKey: string): readonly Buffer[] {
  return [Buffer.from(callbackKey, 'base64'), Buffer.from(callbackKey, 'utf8')];
}

function toReceipt(status: Static<typeof StatusSchema>, nowMs: number): AskedReceipt {
  const { biTag, requestId, token, deliveryStatus } = status;
  const code = String(deliveryStatus.result);
  const notifyId = batchNotifyId(biTag ?? '');
  const named =
    notifyId === undefined
      ? { ...(biTag && { deliveryKey: biTag }), providerId: requestId }
      : { providerId: batchProviderId(requestId, notifyId, token) };
  const said = { ...named, providerCode: code, occurredAt: toIso(deliveryStatus.timestamp, nowMs) };
  const meaning = receiptCodes[code] ?? 'transient';
  return meaning === 'delivered'
    ? { ...said, status: 'delivered' }
    : { ...said, status: 'failed', outcome: meaning };
}

/** Epoch milliseconds as ISO; now, where they are beyond what a date can be. */
function toIso(timeMs: number, nowMs: number): string {
  const date = new Date(timeMs);
  return (Number.isNaN(date.getTime()) ? new Date(nowMs) : date).toISOString();
}
