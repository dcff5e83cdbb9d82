/** Every way that a delivery can go through the workflow: what is recorded as a history, and replayed by every later version. */
import type proto from '@temporalio/proto';
import type { Status } from '../contracts/status.ts';
import { lookAgainSignal, receiptSignal } from '../contracts/workflows.ts';
import { accepted, refused, rendered, type Delivery, type DeliveryOf } from './delivery-runs.ts';

type EventType = keyof typeof proto.temporal.api.enums.v1.EventType;

interface Path extends Omit<DeliveryOf, 'environment' | 'workflowBundle'> {
  readonly ends: Status;
  /** Events without which it was another path: a slow machine may end a short life too soon. */
  readonly meets?: EventType;
  /** What happens to it from outside; `told`: waits until that many snapshots were told. */
  readonly steer?: (delivery: Delivery, told: (count: number) => Promise<void>) => Promise<void>;
}

const pushThenSms = [
  ['push-apns', 'acc_push'],
  ['sms-aliyun', 'acc_sms'],
] as const;
const twoOfSms = [
  ['sms-aliyun', 'acc_a'],
  ['sms-aliyun', 'acc_b'],
] as const;
const later = (delayMs: number) => ({ is: 'transient', delayMs }) as const;
const reason = { code: 'paused' };
const bothAccept = { acc_push: [accepted('p-push')], acc_sms: [accepted('p-sms')] };

/** Path → how it comes about. Its name is the name of its history. */
export const deliveryPaths: Readonly<Record<string, Path>> = {
  sent: {
    ends: 'sent',
    script: { answers: { acc_sms: [accepted('p')] } },
  },
  'sent-after-retries': {
    ends: 'sent',
    script: { answers: { acc_sms: [later(200), later(200), accepted('p')] } },
  },
  scheduled: {
    ends: 'sent',
    message: { sendAt: new Date(0).toISOString() },
    script: { answers: { acc_sms: [accepted('p')] } },
  },
  failed: {
    ends: 'failed',
    script: { answers: { acc_sms: [refused()] } },
  },
  suppressed: {
    ends: 'suppressed',
    script: { renders: [{ next: 'end', status: 'suppressed', reason }], answers: {} },
  },
  expired: {
    ends: 'expired',
    meets: 'EVENT_TYPE_ACTIVITY_TASK_FAILED',
    lifeMs: 30_000,
    script: { renders: [rendered(1, 1000)], answers: { acc_sms: [later(12_000)] } },
  },
  'expired-unserved': {
    ends: 'expired',
    meets: 'EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT',
    lifeMs: 25_000,
    script: { renders: [rendered(1, 1000)], answers: {} },
  },
  'unknown-unheard': {
    ends: 'unknown',
    meets: 'EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT',
    lifeMs: 25_000,
    script: { renders: [rendered(1, 1000)], answers: { acc_sms: [{ is: 'silence' }] } },
  },
  'recalled-before-start': {
    ends: 'recalled',
    isRecalled: true,
    script: { answers: {} },
  },
  'recalled-in-backoff': {
    ends: 'recalled',
    script: { answers: { acc_sms: [later(3_600_000)] } },
    steer: async ({ handle }, told) => {
      await told(1);
      await handle.cancel();
    },
  },
  'recalled-by-send': {
    ends: 'recalled',
    script: { answers: { acc_sms: [{ is: 'recalled' }] } },
  },
  'recalled-while-held': {
    ends: 'recalled',
    script: { renders: [{ next: 'hold', reason }], answers: {} },
    steer: async ({ handle }, told) => {
      await told(1);
      await handle.cancel();
    },
  },
  'held-until': {
    ends: 'sent',
    script: {
      renders: [{ next: 'hold', until: new Date(0).toISOString(), reason }, rendered()],
      answers: { acc_sms: [accepted('p')] },
    },
  },
  'held-and-resumed': {
    ends: 'sent',
    script: {
      renders: [{ next: 'hold', reason }, { next: 'hold', reason }, rendered()],
      answers: { acc_sms: [accepted('p')] },
    },
    steer: async ({ handle, side }, told) => {
      await told(1);
      await handle.signal(lookAgainSignal);
      while (side.renders.length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
      await handle.signal(lookAgainSignal);
    },
  },
  'paused-in-send': {
    ends: 'sent',
    script: {
      renders: [rendered(1), { next: 'hold', reason }, rendered(2)],
      answers: { acc_sms: [{ is: 'paused' }, accepted('p')] },
    },
    steer: async ({ handle }, told) => {
      await told(1);
      await handle.signal(lookAgainSignal);
    },
  },
  stuck: {
    ends: 'sent',
    meets: 'EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES',
    message: { kind: 'otp' },
    script: { answers: { acc_sms: [later(32_000), accepted('p')] } },
  },
  'fallback-on-failure': {
    ends: 'sent',
    ways: pushThenSms,
    script: { answers: { acc_push: [later(200), refused()], acc_sms: [accepted('p-sms')] } },
  },
  'fallback-on-skip': {
    ends: 'sent',
    ways: pushThenSms,
    script: {
      renders: [{ next: 'skip', status: 'suppressed', reason }, rendered()],
      answers: { acc_sms: [accepted('p-sms')] },
    },
  },
  'fallback-on-no-receipt': {
    ends: 'sent',
    ways: pushThenSms,
    message: { fallbackAfter: 1 },
    script: { answers: bothAccept },
  },
  'fallback-fails-after-sent': {
    ends: 'sent',
    ways: pushThenSms,
    message: { fallbackAfter: 1 },
    script: { answers: { ...bothAccept, acc_sms: [refused()] } },
  },
  'fallback-on-failed-receipt': {
    ends: 'sent',
    ways: pushThenSms,
    message: { fallbackAfter: 600 },
    script: { answers: bothAccept },
    steer: async ({ handle }, told) => {
      await told(1);
      await handle.signal(receiptSignal, { accountId: 'acc_push', status: 'failed' });
    },
  },
  delivered: {
    ends: 'delivered',
    ways: pushThenSms,
    message: { fallbackAfter: 600 },
    script: { answers: bothAccept },
    steer: async ({ handle }, told) => {
      await told(1);
      await handle.signal(receiptSignal, { accountId: 'acc_push', status: 'delivered' });
    },
  },
  'stand-in-at-fault': {
    ends: 'sent',
    ways: twoOfSms,
    script: { answers: { acc_a: [{ is: 'account-at-fault' }], acc_b: [accepted('p-b')] } },
  },
  'stand-in-not-in-time': {
    ends: 'sent',
    meets: 'EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT',
    ways: twoOfSms,
    message: { priority: 'critical' },
    script: { answers: { acc_b: [accepted('p-b')] } },
  },
};
