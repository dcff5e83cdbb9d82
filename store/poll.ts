/** The look at MySQL, each second, that keeps the mirrors up to date. */
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { reach } from './database.ts';
import type { Store } from './index.ts';
import type { Mirror } from './mirror.ts';
import type { RevisionKind } from './revisions.ts';

/** What an edit, here or in another process, changed. */
export interface DirectoryChange {
  readonly kind: RevisionKind;
  readonly ids: readonly string[];
}

export interface PollOptions {
  readonly store: Store;
  readonly logger: Logger;
  readonly pollMs: number;
  readonly mirrors: readonly Mirror[];
  readonly tell: (change: DirectoryChange) => void;
}

const readDeadlineMs = 5000;

/** Looks at the revisions now and then every `pollMs`, and lets the mirrors of what has changed catch up. */
export function createPoll({ store, logger, pollMs, mirrors, tell }: PollOptions) {
  const closing = new AbortController();
  let lastReadAt: number | undefined;
  let isFailing = false;
  let loop: Promise<void> = Promise.resolve();

  const look = async () => {
    const startedAt = Date.now();
    try {
      const numbers = await reach(() => store.revisions.read(), readDeadlineMs);
      for (const mirror of mirrors) {
        const ids = await mirror.follow(numbers[mirror.kind] ?? 0);
        if (ids.length > 0) tell({ kind: mirror.kind, ids });
      }
      lastReadAt = startedAt;
      if (isFailing) logger.info('directory.following-again');
      isFailing = false;
    } catch (error) {
      if (!isFailing) logger.warn({ error, lastReadAt }, 'directory.cannot-read');
      isFailing = true;
    }
  };
  const run = async () => {
    while (!closing.signal.aborted) {
      await pause(pollMs, closing.signal);
      if (!closing.signal.aborted) await look();
    }
  };
  return {
    start: async () => {
      await look();
      loop = run();
    },
    close: async () => {
      closing.abort();
      await loop;
    },
    lastReadAt: () => lastReadAt,
  };
}
