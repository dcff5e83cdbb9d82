/**
 * Day keys as every process has them: in memory, followed by the directory, read from MySQL when one is missing. While MySQL
 * is away what is here serves on, and there is a key for each of the next two days.
 */
import {
  DataExpired,
  dayKeyIdOf,
  dayOfId,
  destroyAfterMs,
  utcDay,
  type DayKey,
} from '../platform/day-key.ts';
import { createLru } from '../platform/lru.ts';
import type { Sealer } from '../platform/seal.ts';
import type { DayKeys, KnownDayKey } from './day-keys.ts';
import { createMisses } from './misses.ts';

export interface DayKeyRing {
  /** The key that seals for this tenant now. Errors: store-unavailable while it is not here and MySQL is away. */
  sealing(tenantId: string): Promise<DayKey>;
  /**
   * Opens what a day key has sealed, or a master key before there were any. Errors: DataExpired; store-unavailable;
   * another context or changed bytes.
   */
  open(sealed: string, context: string): Promise<Buffer>;
  /** Until when it opens, epoch milliseconds; 0: no more; Infinity: under a master key. Errors: store-unavailable. */
  readableUntilMs(sealed: string): Promise<number>;
  /** False: its key is destroyed. Errors: store-unavailable. */
  isReadable(sealed: string): Promise<boolean>;
  /** Takes over what the table says of a key. */
  enter(known: KnownDayKey): void;
  clear(): void;
}

export interface DayKeyRingDeps {
  readonly dayKeys: Pick<DayKeys, 'ensure' | 'find'>;
  readonly sealer: Pick<Sealer, 'open'>;
  readonly keyDays: number;
  /** Epoch milliseconds. Default: the clock. */
  readonly now?: () => number;
}

/** About 100 tenants with four months of messages under way; 400 bytes each. */
const keptToOpen = 12_000;

export function createDayKeyRing(deps: DayKeyRingDeps): DayKeyRing {
  const { dayKeys, sealer, keyDays, now = Date.now } = deps;
  /** By day and tenant; and all that the directory follows, by id. */
  const sealing = new Map<string, DayKey>();
  const followed = new Map<string, DayKey>();
  let opened = createLru<DayKey>(keptToOpen);
  const misses = createMisses();
  let lastDay = '';

  const enter = ({ id, key }: KnownDayKey) => {
    if (key !== undefined) {
      sealing.set(nameOf(key.tenantId, key.day), key);
      followed.set(id, key);
      return;
    }
    const gone = followed.get(id);
    if (gone !== undefined) sealing.delete(nameOf(gone.tenantId, gone.day));
    followed.delete(id);
    opened.delete(id);
  };
  const today = () => {
    const day = utcDay(now());
    if (day === lastDay) return day;
    for (const [id, key] of followed) {
      if (key.day >= day) continue;
      // What was accepted before midnight is still under way.
      opened.set(id, key);
      followed.delete(id);
      sealing.delete(nameOf(key.tenantId, key.day));
    }
    lastDay = day;
    return day;
  };
  const keyOf = async (id: string): Promise<DayKey> => {
    // Here too: most processes open and never seal.
    today();
    const held = followed.get(id) ?? opened.get(id);
    const known =
      held === undefined
        ? await misses.read('day-keys', id, () => dayKeys.find(id))
        : { id, key: held };
    // Nobody counts on housekeeping being on time.
    if (known?.key !== undefined && known.key.destroyAfterMs > now()) {
      if (held === undefined) opened.set(id, known.key);
      return known.key;
    }
    enter({ id });
    if (known === undefined && destroyAfterMs(dayOfId(id), keyDays) > now())
      throw new Error(`day key ${id} is not in MySQL; was an old backup restored?`);
    throw new DataExpired();
  };
  const readableUntilMs = async (sealed: string): Promise<number> => {
    const id = dayKeyIdOf(sealed);
    if (id === undefined) return Infinity;
    try {
      return (await keyOf(id)).destroyAfterMs;
    } catch (error) {
      if (error instanceof DataExpired) return 0;
      throw error;
    }
  };
  return {
    sealing: async (tenantId) => {
      const day = today();
      const name = nameOf(tenantId, day);
      const held = sealing.get(name);
      if (held !== undefined) return held;
      const made = await misses.read(tenantId, name, () => dayKeys.ensure(tenantId, day));
      for (const key of made) enter({ id: key.id, key });
      const found = made.find((key) => key.day === day);
      if (found === undefined) throw new Error(`no day key for ${name}`);
      return found;
    },
    open: async (sealed, context) => {
      const id = dayKeyIdOf(sealed);
      return id === undefined
        ? sealer.open(sealed, context)
        : (await keyOf(id)).open(sealed, context);
    },
    readableUntilMs,
    isReadable: async (sealed) => (await readableUntilMs(sealed)) > now(),
    enter,
    clear: () => {
      sealing.clear();
      followed.clear();
      opened = createLru<DayKey>(keptToOpen);
    },
  };
}

function nameOf(tenantId: string, day: string): string {
  return `${day} ${tenantId}`;
}
