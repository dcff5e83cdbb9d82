/** What becomes of accepted messages, and the pushes that tell of it (SmsReport) and of what people reply (SmsUp). */
import { drawLatencyMs, type Random } from '../sandbox/random.ts';
import { createReceiptPusher, type ReceiptCounts } from '../sandbox/receipt-pusher.ts';
import { localTime, type SmsRecord } from './simulator-books.ts';
import { magicReceipts, type SimulatorSettings } from './simulator-settings.ts';

/** A text that a person sent back. */
export interface SmsReply {
  readonly phone: string;
  readonly content: string;
}

export interface SmsReceipts {
  /** Whether a message to this number reaches its phone. */
  readonly willArrive: (phone: string) => boolean;
  /** Settles the record after the receipt delay and pushes its receipt. */
  readonly schedule: (record: SmsRecord) => void;
  /** Settles and pushes now; resolves when the receiver has answered. */
  readonly pushFirst: (record: SmsRecord) => Promise<void>;
  /** Pushes a person's reply, in arrays of its own. */
  readonly pushReply: (reply: SmsReply) => void;
  readonly setCode: (phone: string, code: string | null) => void;
  readonly counts: () => ReceiptCounts;
  readonly clear: () => void;
  readonly close: () => Promise<void>;
}

/** Starts the pusher of one simulated account base. */
export function createSmsReceipts(options: {
  readonly random: Random;
  readonly settings: () => SimulatorSettings;
}): SmsReceipts {
  const { random, settings } = options;
  const codes = new Map(Object.entries(magicReceipts));
  const timers = new Set<NodeJS.Timeout>();
  const codeOf = (phone: string) => codes.get(phone) ?? 'DELIVERED';
  const pushing = {
    random,
    // Documented: HTTP 200 and a body whose `code` is a number; which number is not looked at.
    isAcknowledged: (status: number, body: string) =>
      status === 200 && /"code"\s*:\s*-?\d/.test(body),
    repeatAfterMs: [60_000, 300_000, 600_000],
    settings: () => {
      const now = settings();
      return {
        url: now.receiptUrl,
        isPaused: now.receiptsPaused,
        duplicateRate: now.receiptDuplicateRate,
        maxBatch: now.receiptMaxBatch,
        clockScale: now.clockScale,
      };
    },
  };
  const pusher = createReceiptPusher<SmsRecord>({
    ...pushing,
    encode: (records) => encode(records.map(toReport)),
  });
  let replied = 0;
  const replies = createReceiptPusher<Record<string, unknown>>({ ...pushing, encode });
  const settle = (record: SmsRecord) => {
    const code = codeOf(record.phone);
    record.errCode = code;
    record.sendStatus = code === 'DELIVERED' ? 3 : 2;
    record.reportAt = Date.now();
  };
  const clear = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    pusher.clear();
    replies.clear();
  };
  return {
    willArrive: (phone) => ['DELIVERED', 'never'].includes(codeOf(phone)),
    schedule: (record) => {
      const { receiptMedianMs, receiptP99Ms, receiptLostRate, clockScale } = settings();
      if (codeOf(record.phone) === 'never' || random() < receiptLostRate) return;
      const delayMs = drawLatencyMs({ medianMs: receiptMedianMs, p99Ms: receiptP99Ms }, random);
      const timer = setTimeout(() => {
        timers.delete(timer);
        settle(record);
        pusher.add(record);
      }, delayMs / clockScale);
      timers.add(timer);
    },
    pushFirst: async (record) => {
      settle(record);
      await pusher.pushFirst(record);
    },
    pushReply: ({ phone, content }) => {
      replied += 1;
      replies.add({
        phone_number: phone,
        content,
        send_time: localTime(Date.now()),
        dest_code: '1234',
        sequence_id: String(firstSequenceId + BigInt(replied)),
      });
    },
    setCode: (phone, code) => {
      if (code === null) codes.delete(phone);
      else codes.set(phone, code);
    },
    counts: pusher.counts,
    clear,
    close: async () => {
      clear();
      await pusher.close();
      await replies.close();
    },
  };
}

/** Beyond what a double holds exactly. */
const firstSequenceId = 9_107_199_254_740_993_000n;

function encode(entries: readonly Record<string, unknown>[]) {
  return { contentType: 'application/json;charset=utf-8', body: JSON.stringify(entries) };
}

function toReport(record: SmsRecord): Record<string, unknown> {
  const isDelivered = record.sendStatus === 3;
  return {
    phone_number: record.phone,
    send_time: localTime(record.at),
    report_time: localTime(record.reportAt ?? record.at),
    success: isDelivered,
    err_code: record.errCode,
    err_msg: isDelivered ? '用户接收成功' : `${record.phone} 接收失败`,
    sms_size: String(record.smsSize),
    biz_id: record.bizId,
    out_id: record.outId,
  };
}
