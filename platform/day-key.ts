/**
 * Data keys, one for each tenant and UTC day, under which what a message is about is sealed (ADR 17). Once the key is
 * destroyed no copy opens any more, wherever it lies. Sealed form: `v3.<id of the key>.<box>`, the box as in platform/seal.ts.
 */
import { createSecretKey, randomBytes } from 'node:crypto';
import { longestScheduleMs } from '../contracts/message.ts';
import { encodeBase32 } from './message-id.ts';
import { openBox, sealBox } from './seal.ts';

const version = 'v3';
const dayMs = 86_400_000;
export const dayKeyBytes = 32;
/** Longest that a message may be held by quiet hours and pauses, and its longest life. */
const heldDays = 30;
const lifeDays = 6;
/** Fewer would destroy what is still on its way. */
const leastDays = 14;

/** What such a key has sealed is gone for good: the key was destroyed, as it is after its time. */
export class DataExpired extends Error {
  constructor(
    detail = 'the key of its day was destroyed, as it is when the time of its data is over',
  ) {
    super(detail);
    this.name = 'DataExpired';
  }
}

export interface DayKey {
  readonly id: string;
  readonly tenantId: string;
  /** `2026-11-21` */
  readonly day: string;
  /** From when on nothing opens that it has sealed, epoch milliseconds. */
  readonly destroyAfterMs: number;
  /** Seals text; `context` is authenticated with it, and must be the same to open. */
  seal(plain: string, context: string): string;
  /** Errors: sealed under another key, another context, changed bytes. */
  open(sealed: string, context: string): Buffer;
}

/** A key from its random bytes. */
export function createDayKey(
  of: Pick<DayKey, 'id' | 'tenantId' | 'day' | 'destroyAfterMs'>,
  bytes: Uint8Array,
): DayKey {
  // Set up once: what is sealed with it is a few hundred bytes.
  const key = createSecretKey(bytes);
  const prefix = `${version}.${of.id}.`;
  return {
    ...of,
    seal: (plain, context) => prefix + sealBox(key, plain, context).toString('base64url'),
    open: (sealed, context) => {
      if (!sealed.startsWith(prefix)) throw new Error(`not sealed under the day key ${of.id}`);
      return openBox(key, Buffer.from(sealed.slice(prefix.length), 'base64url'), context);
    },
  };
}

/** A new id; its day can be read from it. */
export function createDayKeyId(day: string): string {
  return `${day.replaceAll('-', '')}-${encodeBase32(randomBytes(10))}`;
}

/** The id of the day key that sealed this; undefined: sealed under a master key, as before there were day keys. */
export function dayKeyIdOf(sealed: string): string | undefined {
  const [form, id] = sealed.split('.', 2);
  return form === version ? id : undefined;
}

/** The UTC day of a moment, or `days` later: `2026-11-21`. */
export function utcDay(atMs: number, days = 0): string {
  return new Date(atMs + days * dayMs).toISOString().slice(0, 10);
}

/** The same, of the day that a key's id begins with. */
export function dayOfId(id: string): string {
  return `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6, 8)}`;
}

/** When a key of this day is destroyed, epoch milliseconds: `keyDays` after the day is over. */
export function destroyAfterMs(day: string, keyDays: number): number {
  return Date.parse(day) + (1 + keyDays) * dayMs;
}

/**
 * Days after its own for which a key lives. Default: until nobody can need it. A message waits for its time (90 days) or is
 * sent again for as long as the index has it; then it may be held, live its life, and be reset by an operator for as long as
 * Temporal keeps its run. Errors: MC_DAY_KEY_DAYS is too small.
 */
export function dayKeyDays(config: {
  /** 0: the default. */
  readonly dayKeyDays: number;
  readonly indexDays: number;
  readonly temporalRetentionDays: number;
}): number {
  if (config.dayKeyDays > 0 && config.dayKeyDays < leastDays)
    throw new Error(`MC_DAY_KEY_DAYS must be 0, or ${leastDays} or more`);
  if (config.dayKeyDays > 0) return config.dayKeyDays;
  const startsWithin = Math.max(longestScheduleMs / dayMs, config.indexDays);
  return startsWithin + heldDays + lifeDays + config.temporalRetentionDays;
}
