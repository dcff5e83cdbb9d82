/** Leases: one holder at a time for what only one process may do. Times are the database's, so clocks may differ. */
import type { Database } from './database.ts';

export interface Lease {
  /** Grows with every new holding: what is older must give way. */
  readonly fence: number;
}

export interface Leases {
  /**
   * Takes a free or run-out lease, or one that this holder has already. Undefined: another holds it. Count `ttlMs` from
   * before the call: the answer may have taken its time.
   */
  acquire(name: string, holder: string, ttlMs: number): Promise<Lease | undefined>;
  /** False: it was lost meanwhile; stop at once. */
  renew(name: string, holder: string, ttlMs: number): Promise<boolean>;
  /** Lets another take it now. */
  release(name: string, holder: string): Promise<void>;
}

interface LeaseRow {
  name: string;
  holder: string;
  fence: number;
}

const inTtl = 'utc_timestamp(3) + interval ? microsecond';

export function createLeases(db: Database): Leases {
  const leases = () => db<LeaseRow>('leases');
  const until = (ttlMs: number) => db.raw(inTtl, [Math.round(ttlMs) * 1000]);
  return {
    acquire: async (name, holder, ttlMs) => {
      await db.raw(
        'insert ignore into leases (name, holder, fence, expires_at) values (?, ?, 0, utc_timestamp(3))',
        [name, ''],
      );
      await leases()
        .where({ name })
        .where((either) => either.where({ holder }).orWhereRaw('expires_at <= utc_timestamp(3)'))
        .update({ holder, fence: db.raw('fence + 1'), expiresAt: until(ttlMs) } as object);
      const row = await leases().where({ name, holder }).first('fence');
      return row === undefined ? undefined : { fence: row.fence };
    },
    renew: async (name, holder, ttlMs) => {
      const changed = await leases()
        .where({ name, holder })
        .whereRaw('expires_at > utc_timestamp(3)')
        .update({ expiresAt: until(ttlMs) } as object);
      return changed === 1;
    },
    release: async (name, holder) => {
      await leases()
        .where({ name, holder })
        .update({ holder: '', expiresAt: db.raw('utc_timestamp(3)') } as object);
    },
  };
}

/**
 * Whether this holder has a lease, taking it where it is free. Asks the store twice in a lease's life at most, so that loops may
 * ask as often as they turn; what was held with half of its life left is held without asking.
 */
export function createLeaseHolder(
  leases: Pick<Leases, 'acquire' | 'renew'>,
  { holder, ttlMs }: { readonly holder: string; readonly ttlMs: number },
): (name: string) => Promise<boolean> {
  const heldUntil = new Map<string, number>();
  return async (name) => {
    const nowMs = performance.now();
    if ((heldUntil.get(name) ?? 0) - nowMs > ttlMs / 2) return true;
    const isHeld =
      (await leases.renew(name, holder, ttlMs)) ||
      (await leases.acquire(name, holder, ttlMs)) !== undefined;
    if (isHeld) heldUntil.set(name, nowMs + ttlMs);
    return isHeld;
  };
}
