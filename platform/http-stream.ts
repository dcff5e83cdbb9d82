/** Request bodies that are read while they come, and how long they may take. */
import type { Request, RequestHandler, Response } from 'express';
import { Problem, problem } from '../contracts/problems.ts';

/** A streamed body must have come whole within this time. */
export const streamTimeoutMs = 3_600_000;
/** A sender that sends nothing for so long is gone. */
const longestSilenceMs = 60_000;
/** After an early answer the rest of a body is read and thrown away for so long, so that the sender reads the answer. */
const lingerMs = 5000;

const cutOff = 'bodyCutOff';

/** Ends requests whose body has not come whole in time; not those that are read as a stream. */
export function createCutOff(timeoutMs: number): RequestHandler {
  return (request, response, next) => {
    const timer = setTimeout(() => {
      if (!request.complete) request.destroy();
    }, timeoutMs).unref();
    response.locals[cutOff] = timer;
    response.on('close', () => {
      if (request.complete) clearTimeout(timer);
    });
    next();
  };
}

/**
 * The bytes of a body while they come. Errors while it is read: unsupported-media-type (a Content-Encoding),
 * body-too-large, and malformed-request when it ends before it is whole.
 */
export function streamBody(
  request: Request,
  response: Response,
  {
    mostBytes,
    silenceMs = longestSilenceMs,
  }: { readonly mostBytes: number; readonly silenceMs?: number | undefined },
): AsyncIterable<Buffer> {
  clearTimeout(response.locals[cutOff] as NodeJS.Timeout | undefined);
  request.setTimeout(silenceMs, () => void request.destroy());
  response.once('finish', () => linger(request));
  return readBody(request, mostBytes);
}

async function* readBody(request: Request, mostBytes: number): AsyncGenerator<Buffer> {
  const encoding = request.get('content-encoding') ?? 'identity';
  if (encoding !== 'identity')
    throw problem('unsupported-media-type', {
      detail: `Content-Encoding ${encoding} is not taken here.`,
    });
  const tooLarge = problem('body-too-large', {
    detail: `The body may have ${mostBytes} bytes at most.`,
    errors: [{ pointer: '', detail: `is over ${mostBytes} bytes` }],
  });
  if (Number(request.get('content-length') ?? 0) > mostBytes) throw tooLarge;
  let bytes = 0;
  try {
    // Left open after an error of ours, so that it can still be answered.
    const chunks: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > mostBytes) throw tooLarge;
      yield chunk;
    }
  } catch (error) {
    if (!request.destroyed || error instanceof Problem) throw error;
    throw problem('malformed-request', {
      detail: 'The body ended before it was whole.',
      cause: error,
    });
  }
}

// oxlint-disable-next-line require-yield -- a body that is none
export async function* noBody(): AsyncGenerator<Buffer> {}

/** Called when a request has been answered: reads and throws away what still comes of its body, for some seconds. */
export function linger(request: Request): void {
  if (request.complete) return;
  request.resume();
  setTimeout(() => {
    if (!request.complete) request.destroy();
  }, lingerMs).unref();
}
