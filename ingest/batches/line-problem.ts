import { problem } from '../../contracts/problems.ts';

/** What makes the whole upload unreadable, and in which line. */
export function lineProblem(line: number, detail: string): Error {
  return problem('validation-failed', {
    detail: `Line ${line} ${detail}.`,
    errors: [{ pointer: `line/${line}`, detail }],
  });
}
