/** What becomes of taken messages, and the encrypted pushes that tell of it: one event each, repeated three times, 5 s apart. */
import { drawLatencyMs, wholeNumber, type Random } from '../sandbox/random.ts';
import {
  createReceiptPusher,
  type ReceiptCounts,
  type ReceiptPusher,
} from '../sandbox/receipt-pusher.ts';
import { encryptPush, signParts } from './crypto.ts';
import type {
  AppEntry,
  Fate,
  TemplateEntry,
  WechatSimulatorSettings,
} from './simulator-settings.ts';

/** A message whose end is to be told. */
export interface SettledMessage {
  readonly app: AppEntry;
  readonly openid: string;
  readonly providerId: string;
  readonly template: TemplateEntry;
  readonly fate: Exclude<Fate, 'never'>;
}

/** Fields of an event beside those that all have; a `List` of several is an array. */
export type EventFields = Readonly<Record<string, unknown>>;

interface Push {
  readonly app: AppEntry;
  readonly openid: string;
  readonly event: string;
  readonly fields: EventFields;
  /** Of the event itself: repeats carry it unchanged. */
  readonly createTime: number;
}

export interface WechatPushes {
  /** Tells after the receipt delay. */
  schedule(message: SettledMessage): void;
  /** Tells now; resolves when the receiver has answered. */
  pushFirst(message: SettledMessage): Promise<void>;
  /** Something else that a person did: `unsubscribe`, `subscribe_msg_popup_event`. */
  tell(push: Omit<Push, 'createTime'>): void;
  readonly counts: () => ReceiptCounts;
  clear(): void;
  readonly close: () => Promise<void>;
}

/** Starts one pusher for each account, for each has an address of its own. */
export function createWechatPushes(options: {
  readonly apps: readonly AppEntry[];
  readonly random: Random;
  readonly now: () => number;
  readonly settings: () => WechatSimulatorSettings;
}): WechatPushes {
  const { random, now, settings } = options;
  const timers = new Set<NodeJS.Timeout>();
  const seconds = () => Math.floor(now() / 1000);
  const pushers = new Map<string, ReceiptPusher<Push>>(
    options.apps.map((app) => [
      app.appId,
      createReceiptPusher<Push>({
        random,
        encode: ([push]) => seal(push as Push, settings().pushFormat, random),
        isAcknowledged: (status, body) => status === 200 && (body === 'success' || body === ''),
        repeatAfterMs: [5000, 5000, 5000],
        settings: () => {
          const { receiptUrl, receiptUrls, receiptsPaused, receiptDuplicateRate, clockScale } =
            settings();
          return {
            url: receiptUrls[app.appId] ?? receiptUrl,
            isPaused: receiptsPaused,
            duplicateRate: receiptDuplicateRate,
            maxBatch: 1,
            clockScale,
          };
        },
      }),
    ]),
  );
  const toPush = (message: SettledMessage): Push => ({
    app: message.app,
    openid: message.openid,
    createTime: seconds(),
    ...eventOf(message),
  });
  const clear = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    for (const pusher of pushers.values()) pusher.clear();
  };
  return {
    schedule: (message) => {
      const { receiptMedianMs, receiptP99Ms, receiptLostRate, clockScale } = settings();
      if (random() < receiptLostRate) return;
      const delayMs = drawLatencyMs({ medianMs: receiptMedianMs, p99Ms: receiptP99Ms }, random);
      const timer = setTimeout(() => {
        timers.delete(timer);
        pushers.get(message.app.appId)?.add(toPush(message));
      }, delayMs / clockScale);
      timers.add(timer);
    },
    pushFirst: async (message) => {
      await pushers.get(message.app.appId)?.pushFirst(toPush(message));
    },
    tell: (push) => pushers.get(push.app.appId)?.add({ ...push, createTime: seconds() }),
    counts: () => {
      const all = [...pushers.values()].map((pusher) => pusher.counts());
      const sum = (name: keyof ReceiptCounts) =>
        all.reduce((total, counts) => total + counts[name], 0);
      return {
        pending: sum('pending'),
        posts: sum('posts'),
        acknowledged: sum('acknowledged'),
        dropped: sum('dropped'),
      };
    },
    clear,
    close: async () => {
      clear();
      for (const pusher of pushers.values()) await pusher.close();
    },
  };
}

const templateStatus = {
  delivered: 'success',
  block: 'failed:user block',
  system: 'failed: system failed',
  freq: 'failed:freq limit',
};
/** Which codes failed notifications carry is not published. */
const sentCodes = { delivered: 0, block: 43101, system: -1, freq: 43117 };

function eventOf({ template, providerId, fate }: SettledMessage): Pick<Push, 'event' | 'fields'> {
  if (template.library === 'template')
    return {
      event: 'TEMPLATESENDJOBFINISH',
      fields: { MsgID: BigInt(providerId), Status: templateStatus[fate] },
    };
  return {
    event: 'subscribe_msg_sent_event',
    fields: {
      SubscribeMsgSentEvent: {
        List: {
          TemplateId: template.templateId,
          MsgID: BigInt(providerId),
          ErrorCode: sentCodes[fate],
          ErrorStatus: fate === 'delivered' ? 'success' : 'failed',
        },
      },
    },
  };
}

/** Writes, encrypts and signs a push in safe mode. */
function seal(push: Push, format: 'xml' | 'json', random: Random) {
  const { app, openid, event, fields, createTime } = push;
  const timestamp = String(createTime);
  const nonce = String(wholeNumber(random, 100_000_000, 999_999_999));
  const all = {
    ToUserName: app.originalId,
    FromUserName: openid,
    CreateTime: createTime,
    MsgType: 'event',
    Event: event,
    ...(format === 'json' ? flat(fields) : fields),
  };
  const plain = format === 'json' ? toJson(all) : toXml('xml', all);
  const encrypted = encryptPush(app.encodingAesKey, plain, app.appId);
  const envelope = { ToUserName: app.originalId, Encrypt: encrypted };
  return {
    contentType: format === 'json' ? 'application/json' : 'text/xml',
    body: format === 'json' ? JSON.stringify(envelope) : toXml('xml', envelope),
    query: {
      signature: signParts(app.pushToken, timestamp, nonce),
      timestamp,
      nonce,
      openid,
      encrypt_type: 'aes',
      msg_signature: signParts(app.pushToken, timestamp, nonce, encrypted),
    },
  };
}

function toXml(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.map((each) => toXml(name, each)).join('');
  if (typeof value === 'object' && value !== null)
    return `<${name}>${Object.entries(value)
      .map(([child, inner]) => toXml(child, inner))
      .join('')}</${name}>`;
  return typeof value === 'string'
    ? `<${name}><![CDATA[${value}]]></${name}>`
    : `<${name}>${String(value)}</${name}>`;
}

/** In JSON the list stands beside the other fields, and all numbers are text. */
const flat = (fields: EventFields): EventFields =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      typeof value === 'object' && value !== null ? Object.entries(value) : [[name, value]],
    ),
  );
const toJson = (value: unknown) =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'bigint' || typeof each === 'number' ? String(each) : each,
  );
