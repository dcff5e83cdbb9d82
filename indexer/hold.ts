/** Stops the receiving while Elasticsearch does not take what is in hand. */
export interface Hold {
  readonly isHeld: boolean;
  /** Holds until the function returned is called. Holds are counted: free again when all have ended. */
  begin(): () => void;
  /** Resolves when nothing holds, or the signal aborts. */
  whenFree(signal: AbortSignal): Promise<void>;
}

/** Makes a hold that is free. */
export function createHold(): Hold {
  let holders = 0;
  let waiting: (() => void)[] = [];
  const isHeld = () => holders > 0;
  const wake = () => {
    const woken = waiting;
    waiting = [];
    for (const resolve of woken) resolve();
  };
  return {
    get isHeld() {
      return isHeld();
    },
    begin: () => {
      holders++;
      let hasEnded = false;
      return () => {
        if (hasEnded) return;
        hasEnded = true;
        if (--holders === 0) wake();
      };
    },
    whenFree: async (signal) => {
      signal.addEventListener('abort', wake, { once: true });
      while (isHeld() && !signal.aborted)
        await new Promise<void>((resolve) => waiting.push(resolve));
      signal.removeEventListener('abort', wake);
    },
  };
}
