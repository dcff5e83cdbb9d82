/** Recipients as NDJSON: each line one JSON object `{"to":{…},"variables":{…}}`. */
import { mostLineBytes } from '../../contracts/batch.ts';
import { splitLines, tooLong, type Piece } from './whole-lines.ts';

/** A line before it is checked, or why it cannot be. */
export type RawLine = { readonly line: number } & (
  | { readonly value: Readonly<Record<string, unknown>> }
  | { readonly fault: { readonly pointer: string; readonly detail: string } }
);

const byteOrderMark = '\ufeff';

/** Empty lines are left out. Errors: validation-failed, for a line that is too long. */
export async function* readNdjson(pieces: AsyncIterable<Piece>): AsyncGenerator<RawLine> {
  for await (const { bytes, line: firstLine } of pieces) {
    let line = firstLine - 1;
    for (const lineBytes of splitLines(bytes)) {
      line += 1;
      if (lineBytes.length > mostLineBytes) throw tooLong(line);
      const text = lineBytes.toString('utf8');
      const read = (line === 1 && text.startsWith(byteOrderMark) ? text.slice(1) : text).trim();
      if (read !== '') yield { line, ...parse(read) };
    }
  }
}

function parse(text: string) {
  const fault = (detail: string) => ({ fault: { pointer: '', detail } });
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? { value: value as Record<string, unknown> }
      : fault('is not a JSON object');
  } catch {
    // The parser's own words quote the line, which is personal.
    return fault('is not JSON');
  }
}
