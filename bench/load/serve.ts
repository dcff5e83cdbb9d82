/** The side of a load's own process. */
import { once } from 'node:events';

/** What the process says to who started it. */
export type Word<Result> =
  | { readonly word: 'warm' }
  | { readonly word: 'done'; readonly result: Result }
  | { readonly word: 'failed'; readonly why: string };

/** What a script is told and what it measures. */
interface Load {
  readonly options: object;
  readonly result: unknown;
}

/**
 * Runs a load. `work` gets the options, prepares, awaits `begin`, measures and returns. The process stays until it is
 * killed, so that what it cost can be read.
 */
export function serveLoad<L extends Load>(
  work: (options: L['options'], begin: () => Promise<void>) => Promise<L['result']>,
): void {
  const say = (word: Word<L['result']>) =>
    new Promise<void>((resolve) => process.send?.(word, () => resolve()));
  process.once('disconnect', () => process.exit(1));
  process.once('message', (options: L['options']) => {
    const begin = async () => {
      const told = once(process, 'message');
      await say({ word: 'warm' });
      await told;
    };
    void work(options, begin).then(
      (result) => say({ word: 'done', result }),
      (error: unknown) =>
        say({ word: 'failed', why: error instanceof Error ? (error.stack ?? '') : String(error) }),
    );
  });
}
