/**
 * The processes that start or send, and which revision of the stops each has in force. Leases are on the database's clock.
 */
import type { Database } from './database.ts';

export type MemberRole = 'bridge' | 'worker';

export interface Member {
  readonly instanceId: string;
  readonly role: MemberRole;
  /** The newest revision of the stops that it obeys. */
  readonly confirmed: number;
}

export interface Members {
  /**
   * Says what a member has in force, and renews its lease. True: its lease was alive all the time since it was renewed last,
   * so that no stop was answered without it. False: it had run out, or there was none; it is alive from now on.
   */
  confirm(member: Member): Promise<boolean>;
  leave(instanceId: string): Promise<void>;
  /** Those whose lease is alive. */
  live(): Promise<Member[]>;
}

/** A member that cannot read the stops for this long sends nothing, and nobody waits for it any more. */
export const memberLeaseMs = 2000;
const leaseEnd = `utc_timestamp(3) + interval ${memberLeaseMs * 1000} microsecond`;

export function createMembers(db: Database): Members {
  const rows = () => db<Member>('stop_members');
  return {
    confirm: async ({ instanceId, role, confirmed }) => {
      const renewed = await rows()
        .where({ instanceId })
        .whereRaw('leased_until > utc_timestamp(3)')
        .update({ confirmed, leasedUntil: db.raw(leaseEnd) } as object);
      if (renewed === 1) return true;
      const member = { instanceId, role, confirmed, leasedUntil: db.raw(leaseEnd) };
      await rows().insert(member).onConflict('instanceId').merge();
      // What was killed left its row.
      await rows().whereRaw('leased_until < utc_timestamp(3) - interval 1 day').delete();
      return false;
    },
    leave: async (instanceId) => void (await rows().where({ instanceId }).delete()),
    live: () =>
      rows().whereRaw('leased_until > utc_timestamp(3)').select('instanceId', 'role', 'confirmed'),
  };
}
