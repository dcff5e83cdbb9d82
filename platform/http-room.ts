/** Bounds the memory that large request bodies take together, so that a burst of them is refused and does not end the process. */
import type { Request, RequestHandler } from 'express';
import { problem } from '../contracts/problems.ts';

/** Together in one process; read, checked and sealed, a body takes up to ten times its size. */
const mostBytesInHand = 64 * 1024 * 1024;
/** Smaller ones always pass. */
const largeBytes = 64 * 1024;
const retryAfterSeconds = 1;

/** Makes the handler before one that reads a body of at most `limit` bytes into memory. Refuses with too-busy; one alone always passes. */
export function createBodyRoom(most = mostBytesInHand): (limit: number) => RequestHandler {
  let inHand = 0;
  return (limit) => (request, response, next) => {
    const bytes = Math.min(bytesOf(request), limit);
    if (bytes > largeBytes) {
      if (inHand > 0 && inHand + bytes > most)
        throw problem('too-busy', {
          detail: `Requests with ${inHand} bytes of body are in hand, and this one is of up to ${bytes}; together they may have ${most}. Nothing of it was read.`,
          retryAfterSeconds,
        });
      inHand += bytes;
      response.once('close', () => {
        inHand -= bytes;
      });
    }
    next();
  };
}

/** What it says that it has; any number where it does not say, or unpacks to more. */
function bytesOf(request: Request): number {
  if (request.get('content-encoding') !== undefined) return Infinity;
  const length = request.get('content-length');
  return length === undefined ? Infinity : Number(length);
}
