/** The bytes of an upload as UTF-8 text of whole lines, a piece at a time; no piece is larger than a chunk and a line. */
import { isUtf8 } from 'node:buffer';
import { mostLineBytes } from '../../contracts/batch.ts';
import { lineProblem } from './line-problem.ts';

export const charsets = ['utf-8', 'gb18030'] as const;
export type Charset = (typeof charsets)[number];

/** Lines as they came, with their ends; the last one may be without. */
export interface Piece {
  readonly bytes: Buffer;
  /** Number of its first line, counted from 1. */
  readonly line: number;
}

// Never the second byte of a character, neither in UTF-8 nor in GB18030.
const newline = 0x0a;

/** Errors: validation-failed that names the line which is too long, or is not of this charset. */
export async function* wholeLines(
  body: AsyncIterable<Buffer>,
  charset: Charset,
): AsyncGenerator<Piece> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  let line = 1;
  const piece = (bytes: Buffer): Piece => {
    const found = { bytes: toUtf8(bytes, charset, line), line };
    line += countLines(bytes);
    return found;
  };
  for await (const chunk of body) {
    const end = chunk.lastIndexOf(newline) + 1;
    if (end > 0) {
      yield piece(Buffer.concat([...rest, chunk.subarray(0, end)]));
      rest = [];
      restBytes = 0;
    }
    rest.push(chunk.subarray(end));
    restBytes += chunk.length - end;
    if (restBytes > mostLineBytes) throw tooLong(line);
  }
  if (restBytes > 0) yield piece(Buffer.concat(rest));
}

/** Of a line, or of a record over several lines of which this is the last one. */
export function tooLong(line: number): Error {
  return lineProblem(line, `is over ${mostLineBytes} bytes`);
}

function toUtf8(bytes: Buffer, charset: Charset, firstLine: number): Buffer {
  if (charset === 'utf-8') {
    if (isUtf8(bytes)) return bytes;
  } else
    try {
      return Buffer.from(new TextDecoder(charset, { fatal: true }).decode(bytes));
    } catch {
      // Which line it is, is told below.
    }
  let line = firstLine;
  for (const text of splitLines(bytes)) {
    if (!isOf(charset, text)) break;
    line += 1;
  }
  throw lineProblem(
    line,
    charset === 'utf-8'
      ? 'is not UTF-8; a file in another encoding is declared: text/csv; charset=gb18030'
      : `is not ${charset}`,
  );
}

function isOf(charset: Charset, bytes: Buffer): boolean {
  if (charset === 'utf-8') return isUtf8(bytes);
  try {
    new TextDecoder(charset, { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Each line without its end. */
export function* splitLines(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const found = bytes.indexOf(newline, start);
    const end = found === -1 ? bytes.length : found;
    yield bytes.subarray(start, end);
    start = end + 1;
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) lines += 1;
  return lines;
}
