/** How often a login was tried lately, over all processes. By login alone: an address is shared by many, or easily changed. */
import type { Sealer } from '../platform/seal.ts';
import type { Database } from './database.ts';

export interface LoginTries {
  /** Counts one try, before its password is looked at. A number: too many; seconds until the next one is let through. */
  spend(login: string): Promise<number | undefined>;
  /** After a try that was right. */
  forget(login: string): Promise<void>;
}

interface TriesRow {
  loginHash: string;
  tries: number;
  windowEndsAt: Date;
}

/** Tries of one login in a window; guessing gets 120 an hour, and who mistypes waits 5 minutes at most. */
export const triesPerWindow = 10;
const windowMs = 300_000;

export function createLoginTries(db: Database, sealer: Sealer): LoginTries {
  // Hashed: people type their password into the wrong field.
  const hashOf = (login: string) => sealer.hash(login, 'login');
  return {
    spend: async (login) => {
      const now = new Date();
      const endsAt = new Date(now.getTime() + windowMs);
      const loginHash = hashOf(login);
      await db('login_tries').where('windowEndsAt', '<', now).limit(100).delete();
      // Assignments run from left to right: tries is decided by the window's old end.
      await db.raw(
        `insert into login_tries (login_hash, tries, window_ends_at) values (?, 1, ?)
         on duplicate key update tries = if(window_ends_at <= ?, 1, tries + 1),
           window_ends_at = if(window_ends_at <= ?, ?, window_ends_at)`,
        [loginHash, endsAt, now, now, endsAt],
      );
      const row = await db<TriesRow>('login_tries')
        .where({ loginHash })
        .first('tries', 'windowEndsAt');
      if (row === undefined || row.tries <= triesPerWindow) return undefined;
      return Math.max(1, Math.ceil((row.windowEndsAt.getTime() - now.getTime()) / 1000));
    },
    forget: async (login) => {
      await db<TriesRow>('login_tries')
        .where({ loginHash: hashOf(login) })
        .delete();
    },
  };
}
