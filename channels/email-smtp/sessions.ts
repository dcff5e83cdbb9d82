/**
 * The sessions of one account, kept for the next mail. Not nodemailer's pool: it makes the mail's stream itself, so nobody
 * can see whether the final dot had left when a connection broke or a signal ended the call, and that decides everything.
 * (It also queues a mail again after a lost connection, five times unless maxRequeues says otherwise.)
 */
import type { SmtpSession } from './connect.ts';

export interface SessionsOptions {
  readonly open: (signal: AbortSignal) => Promise<SmtpSession>;
  readonly maxConnections: number;
}

/** clean: ready for the next mail; refused: to be reset first; broken: to be closed. */
export type SessionState = 'clean' | 'refused' | 'broken';

export interface Sessions {
  /** An idle session, else a new one, else the first that somebody gives back. Errors: those of `open`, and `signal.reason`. */
  take(signal: AbortSignal): Promise<SmtpSession>;
  give(session: SmtpSession, state: SessionState): Promise<void>;
  /** Ends idle sessions; those in use end when they are given back. */
  close(): void;
}

/** Servers keep idle clients for minutes, firewalls between may not; a dead session costs an attempt. */
const idleMs = 10_000;
const maxMailsEach = 100;
const resetTimeoutMs = 5000;
const goodbyeMs = 500;

interface Waiter {
  /** With a session, or with the right to open one. */
  readonly resolve: (session: SmtpSession | undefined) => void;
}

/** An empty pool. */
export function createSessions({ open, maxConnections }: SessionsOptions): Sessions {
  const idle = new Map<SmtpSession, NodeJS.Timeout>();
  const mails = new WeakMap<SmtpSession, number>();
  const waiting: Waiter[] = [];
  let openCount = 0;
  let isClosed = false;

  const freePlace = () => {
    const next = waiting.shift();
    if (next === undefined) openCount -= 1;
    else next.resolve(undefined);
  };
  const unpark = (session: SmtpSession) => {
    clearTimeout(idle.get(session));
    idle.delete(session);
  };
  const park = (session: SmtpSession) => {
    const timer = setTimeout(() => {
      unpark(session);
      freePlace();
      sayGoodbye(session);
    }, idleMs);
    idle.set(session, timer.unref());
  };
  const drop = (session: SmtpSession) => {
    session.close();
    freePlace();
  };

  return {
    take: async (signal) => {
      // The last one used is the least likely to have been closed meanwhile.
      const last = [...idle.keys()].at(-1);
      if (last !== undefined) {
        unpark(last);
        return last;
      }
      if (openCount >= maxConnections) {
        const given = await waitFor(waiting, signal);
        if (given !== undefined) return given;
      } else openCount += 1;
      try {
        const session = await open(signal);
        session.once('end', () => {
          if (!idle.has(session)) return;
          unpark(session);
          freePlace();
        });
        return session;
      } catch (error) {
        freePlace();
        throw error;
      }
    },
    give: async (session, state) => {
      const count = (mails.get(session) ?? 0) + 1;
      mails.set(session, count);
      if (state === 'broken') return drop(session);
      if (isClosed || count >= maxMailsEach) {
        freePlace();
        return sayGoodbye(session);
      }
      if (state === 'refused' && !(await reset(session))) return drop(session);
      if (session.destroyed) return drop(session);
      const next = waiting.shift();
      if (next !== undefined) next.resolve(session);
      else if (isClosed) drop(session);
      else park(session);
    },
    close: () => {
      isClosed = true;
      for (const session of idle.keys()) {
        unpark(session);
        freePlace();
        sayGoodbye(session);
      }
    },
  };
}

function waitFor(waiting: Waiter[], signal: AbortSignal): Promise<SmtpSession | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      waiting.splice(waiting.indexOf(waiter), 1);
      reject(signal.reason as Error);
    };
    const waiter: Waiter = {
      resolve: (session) => {
        signal.removeEventListener('abort', onAbort);
        resolve(session);
      },
    };
    if (signal.aborted) return reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    waiting.push(waiter);
  });
}

/** RSET: forgets what is left of a refused mail. */
function reset(session: SmtpSession): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isReset: boolean) => {
      clearTimeout(timer);
      session.off('end', onEnd);
      resolve(isReset);
    };
    const onEnd = () => settle(false);
    const timer = setTimeout(onEnd, resetTimeoutMs);
    session.once('end', onEnd);
    session.reset((error) => settle(error === null));
  });
}

/** QUIT, and no long wait for the answer. */
export function sayGoodbye(session: SmtpSession): void {
  session.quit();
  const timer = setTimeout(() => session.close(), goodbyeMs).unref();
  session.once('end', () => clearTimeout(timer));
}
