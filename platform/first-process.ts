/** Questions of the processes behind one port to the first one, which is one for all of them; see process-per-core.ts. */
import cluster, { type Worker } from 'node:cluster';
import type { Logger } from './logger.ts';

/** What the first process answers, by name; a question and its answer are JSON. */
export type Answers = Readonly<Record<string, (question: never) => unknown>>;

interface Question {
  readonly asks: string;
  readonly id: number;
  readonly question: unknown;
}
interface Answer {
  readonly answers: number;
  /** Absent: it has none now. */
  readonly answer?: unknown;
}

const waiting = new Map<number, (answer: unknown) => void>();
let asked = 0;

/** Whether this is one of several processes behind one port. */
export const isOneOfSeveral = cluster.isWorker;

/**
 * Asks the first process; undefined: it has no answer now. Only for one of several. When the first process is gone so is this
 * one, so nobody waits in vain.
 */
export async function askFirst<T>(asks: string, question: unknown): Promise<T | undefined> {
  if (asked++ === 0)
    process.on('message', ({ answers, answer }: Answer) => {
      waiting.get(answers)?.(answer);
      waiting.delete(answers);
    });
  const id = asked;
  const answer = new Promise<unknown>((resolve) => waiting.set(id, resolve));
  process.send?.({ asks, id, question } satisfies Question);
  return (await answer) as T | undefined;
}

/** Answers the others from now on. */
export function answerOthers(answers: Answers, logger: Logger): void {
  cluster.on('message', async (worker: Worker, { asks, id, question }: Partial<Question>) => {
    const find = asks === undefined ? undefined : answers[asks];
    if (find === undefined || id === undefined) return;
    try {
      const answer = await find(question as never);
      worker.send({ answers: id, answer } satisfies Answer);
    } catch (error) {
      logger.warn({ error, asks }, 'first-process.no-answer');
      worker.send({ answers: id } satisfies Answer);
    }
  });
}
