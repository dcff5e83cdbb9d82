/**
 * Recipients as CSV: a header, of which each column is an address (`phone`, `to.phone`), a variable (`code`,
 * `variables.code`) or `locale`, the recipient's language. Cells are text: nothing is evaluated, and only what the template declares as number or boolean is read
 * as one.
 */
import { CsvError, parse, type Info } from 'csv-parse';
import { mostColumns, mostLineBytes } from '../../contracts/batch.ts';
import { addressKinds, type Variables } from '../../contracts/message.ts';
import type { Template } from '../../contracts/template.ts';
import { lineProblem } from './line-problem.ts';
import type { RawLine } from './read-ndjson.ts';
import { tooLong, type Piece } from './whole-lines.ts';

interface CsvRecord {
  readonly record: readonly string[];
  readonly info: Info;
}

interface Column {
  readonly part: 'to' | 'variables' | 'locale';
  readonly name: string;
}

/** Empty lines are left out. Errors: validation-failed that names the line: no CSV, or a header that cannot be meant. */
export async function* readCsv(
  pieces: AsyncIterable<Piece>,
  template: Pick<Template, 'variables'>,
): AsyncGenerator<RawLine> {
  let columns: readonly Column[] | undefined;
  for await (const { record, info } of readRecords(pieces)) {
    if (columns === undefined) columns = readHeader(record, info.lines, template);
    else yield { line: info.lines, ...readRow(record, columns, template) };
  }
  if (columns === undefined) throw lineProblem(1, 'has no header: the file is empty');
}

/** The records, a piece of the file at a time: a record that does not end is met before it fills the memory. */
async function* readRecords(pieces: AsyncIterable<Piece>): AsyncGenerator<CsvRecord> {
  const parser = parse({
    bom: true,
    info: true,
    record_delimiter: ['\r\n', '\n'],
    relax_column_count: true,
    skip_empty_lines: true,
  });
  let found: CsvRecord[] = [];
  parser.on('data', (record: CsvRecord) => found.push(record));
  const end = new Promise<void>((resolve, reject) => {
    parser.on('end', resolve);
    parser.on('error', reject);
  });
  // Told where it is met, by the write that caused it.
  end.catch(() => undefined);
  const take = () => {
    const taken = found;
    found = [];
    return taken;
  };
  let bytesAtRecord = 0;
  let records = 0;
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      await Promise.race([
        end,
        new Promise<void>((resolve, reject) => {
          parser.write(piece.bytes, (error) => (error ? reject(error) : resolve()));
        }),
      ]);
      bytes += piece.bytes.length;
      const ended = parser.info.records + parser.info.empty_lines;
      if (ended > records) bytesAtRecord = bytes;
      records = ended;
      if (bytes - bytesAtRecord > mostLineBytes) throw tooLong(parser.info.lines);
      yield* take();
    }
    parser.end();
    await end;
    yield* take();
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw lineProblem(lineOf(error), faultOf(error));
  } finally {
    parser.destroy();
  }
}

function lineOf(error: CsvError): number {
  return typeof error['lines'] === 'number' ? error['lines'] : 1;
}

/** In our words: the parser's quote the cell, which is personal. */
function faultOf({ code }: CsvError): string {
  switch (code as string) {
    case 'CSV_QUOTE_NOT_CLOSED':
      return 'ends the file inside quotes: a quote is not closed';
    case 'CSV_INVALID_CLOSING_QUOTE':
      return 'has text behind a closing quote; a quote inside quotes is written twice';
    case 'INVALID_OPENING_QUOTE':
      return 'has a quote inside a cell; such a cell is put in quotes, and the quote written twice';
    default:
      return 'is not CSV';
  }
}

function readHeader(
  names: readonly string[],
  line: number,
  template: Pick<Template, 'variables'>,
): readonly Column[] {
  if (names.length > mostColumns)
    throw lineProblem(line, `has ${names.length} columns; there may be ${mostColumns}`);
  const columns = names.map((name, index) => {
    const column = toColumn(name.trim(), template);
    // Not by its name: without a header it is a recipient.
    if (column === undefined)
      throw lineProblem(
        line,
        `must be a header: column ${index + 1} is neither an address (${Object.keys(addressKinds).join(', ')}), nor a variable of the template, nor locale`,
      );
    return column;
  });
  const twice = columns.findIndex(
    ({ part, name }, index) =>
      columns.findIndex((other) => other.part === part && other.name === name) !== index,
  );
  if (twice !== -1)
    throw lineProblem(line, `names ${columns[twice]?.name} twice: again in column ${twice + 1}`);
  if (!columns.some(({ part }) => part === 'to'))
    throw lineProblem(line, 'has no column of addresses: phone, email, userId or another');
  return columns;
}

/**
 * A bare name that is both is the variable where `to.` is written for the address, so the declared one comes second. A
 * declared variable `locale` is meant by that name, as before there were languages.
 */
function toColumn(name: string, { variables }: Pick<Template, 'variables'>): Column | undefined {
  const [, part, rest = ''] = /^(to|variables)\.(.+)$/.exec(name) ?? [];
  const isAddress = (kind: string) => Object.hasOwn(addressKinds, kind);
  if (part === 'to') return isAddress(rest) ? { part, name: rest } : undefined;
  if (part === 'variables')
    return Object.hasOwn(variables, rest) ? { part, name: rest } : undefined;
  if (isAddress(name)) return { part: 'to', name };
  if (Object.hasOwn(variables, name)) return { part: 'variables', name };
  return name === 'locale' ? { part: 'locale', name } : undefined;
}

function readRow(
  cells: readonly string[],
  columns: readonly Column[],
  { variables: declared }: Pick<Template, 'variables'>,
) {
  if (cells.length !== columns.length)
    return {
      fault: {
        pointer: '',
        detail: `has ${cells.length} columns; the header has ${columns.length}`,
      },
    };
  const to: Record<string, string> = {};
  const variables: Variables = {};
  let locale: string | undefined;
  for (const [index, { part, name }] of columns.entries()) {
    const cell = cells[index] ?? '';
    // An empty cell is a value that was not given.
    if (cell === '') continue;
    if (part === 'to') to[name] = cell.trim();
    else if (part === 'locale') locale = cell.trim();
    else variables[name] = readCell(cell, declared[name]?.type);
  }
  return { value: { to, variables, ...(locale !== undefined && { locale }) } };
}

/** The cell as the declared type, where it is spelled as one; the check names what is not. */
function readCell(cell: string, type: string | undefined): string | number | boolean {
  if (type === 'number' && /^-?(0|[1-9]\d{0,15})(\.\d{1,15})?$/.test(cell)) return Number(cell);
  if (type === 'boolean' && (cell === 'true' || cell === 'false')) return cell === 'true';
  return cell;
}
