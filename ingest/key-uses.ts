/** When API keys were last used: noted in memory by each call, written beside the way of the calls. */
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';

export interface KeyUsesDeps {
  readonly record: (uses: readonly { keyId: string; usedAt: Date }[]) => Promise<void>;
  readonly logger: Logger;
  /** Default 5 s. */
  readonly writeEveryMs?: number;
}

export interface KeyUses {
  note(keyId: string): void;
  close(): Promise<void>;
}

/** A key's use is written this often at most. */
const useEveryMs = 60_000;

export function createKeyUses({ record, logger, writeEveryMs = 5000 }: KeyUsesDeps): KeyUses {
  const notedAtMs = new Map<string, number>();
  let unwritten: string[] = [];
  const stopped = new AbortController();
  const write = async () => {
    const uses = unwritten.map((keyId) => ({
      keyId,
      usedAt: new Date(notedAtMs.get(keyId) ?? Date.now()),
    }));
    unwritten = [];
    // What is lost comes again with the key's next use after a minute.
    await record(uses).catch((error: unknown) => logger.warn({ error }, 'api-key.use-unwritten'));
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await pause(writeEveryMs, stopped.signal);
      if (unwritten.length > 0) await write();
    }
  })();
  return {
    note: (keyId) => {
      const nowMs = Date.now();
      if (nowMs - (notedAtMs.get(keyId) ?? 0) < useEveryMs) return;
      notedAtMs.set(keyId, nowMs);
      unwritten.push(keyId);
    },
    close: async () => {
      stopped.abort();
      await loop;
    },
  };
}
