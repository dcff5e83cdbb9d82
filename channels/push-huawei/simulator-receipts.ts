/** The receipts of the simulated Huawei Push Kit: signed, in arrays, late, sometimes twice. */
import { createHmac, randomUUID } from 'node:crypto';
import { drawLatencyMs, type Random } from '../sandbox/random.ts';
import { createReceiptPusher, type ReceiptPusher } from '../sandbox/receipt-pusher.ts';

/** What a device reported of one message. */
export interface DeviceReport {
  readonly token: string;
  readonly biTag: string;
  readonly requestId: string;
  readonly result: number;
  /** Epoch milliseconds of the real clock. */
  readonly timestamp: number;
}

interface ReceiptTimes {
  readonly receiptUrl: string | null;
  readonly receiptsPaused: boolean;
  readonly receiptMedianMs: number;
  readonly receiptP99Ms: number;
  readonly receiptDuplicateRate: number;
  readonly receiptLostRate: number;
  readonly clockScale: number;
}

const maxStatuses = 100;
/** Assumed: Huawei documents no schedule. */
const repeatAfterMs = [60_000, 300_000];

export interface HuaweiReceipts {
  /** Pushes it after the receipt delay. */
  readonly schedule: (report: DeviceReport) => void;
  /** Pushes it now, and waits for the answer. */
  readonly pushFirst: ReceiptPusher<DeviceReport>['pushFirst'];
  readonly counts: ReceiptPusher<DeviceReport>['counts'];
  readonly clear: () => void;
  readonly close: () => Promise<void>;
}

/** Starts the pusher. */
export function createHuaweiReceipts(options: {
  readonly random: Random;
  readonly callback: { readonly user: string; readonly key: string };
  readonly settings: () => ReceiptTimes;
}): HuaweiReceipts {
  const { random, callback, settings } = options;
  const timers = new Set<NodeJS.Timeout>();
  const pusher = createReceiptPusher<DeviceReport>({
    random,
    encode: (reports) => ({
      contentType: 'application/json',
      body: JSON.stringify({ statuses: reports.map(toStatus) }),
      headers: { 'x-huawei-callback-id': signature(callback) },
    }),
    isAcknowledged: (status, body) => status === 200 && /"code"\s*:\s*"0"/.test(body),
    repeatAfterMs,
    settings: () => {
      const { receiptUrl, receiptsPaused, receiptDuplicateRate, clockScale } = settings();
      return {
        url: receiptUrl,
        isPaused: receiptsPaused,
        duplicateRate: receiptDuplicateRate,
        maxBatch: maxStatuses,
        clockScale,
      };
    },
  });
  const clear = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    pusher.clear();
  };
  return {
    schedule: (report) => {
      const { receiptMedianMs, receiptP99Ms, receiptLostRate, clockScale } = settings();
      if (random() < receiptLostRate) return;
      const delayMs = drawLatencyMs({ medianMs: receiptMedianMs, p99Ms: receiptP99Ms }, random);
      const timer = setTimeout(() => {
        timers.delete(timer);
        pusher.add({ ...report, timestamp: Date.now() });
      }, delayMs / clockScale);
      timers.add(timer);
    },
    pushFirst: pusher.pushFirst,
    counts: pusher.counts,
    clear,
    close: async () => {
      clear();
      await pusher.close();
    },
  };
}

/** As Huawei's console makes keys: Base64 of the bytes. */
function signature({ user, key }: { readonly user: string; readonly key: string }): string {
  const timestamp = Date.now();
  const nonce = randomUUID();
  const value = createHmac('sha256', Buffer.from(key, 'base64'))
    .update(`${timestamp}${nonce}${user}`)
    .digest('base64');
  return `timestamp=${timestamp}; nonce=${nonce}; value=${value}`;
}

function toStatus(report: DeviceReport): Record<string, unknown> {
  const { token, biTag, requestId, result, timestamp } = report;
  return {
    biTag,
    pushType: 0,
    appPackageName: 'com.example.sandbox',
    token,
    requestId,
    deliveryStatus: { result, timestamp },
  };
}
