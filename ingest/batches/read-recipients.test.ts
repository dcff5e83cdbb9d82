import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Problem } from '../../contracts/problems.ts';
import type { Template } from '../../contracts/template.ts';
import { readCsv } from './read-csv.ts';
import { readNdjson, type RawLine } from './read-ndjson.ts';
import { wholeLines, type Charset } from './whole-lines.ts';

const template: Pick<Template, 'variables'> = {
  variables: {
    code: { type: 'string' },
    count: { type: 'number', required: false },
    isNew: { type: 'boolean', required: false },
    email: { type: 'string', required: false },
  },
};

type Input = string | Buffer | Iterable<Buffer>;
async function* chunksOf(input: Input, size: number): AsyncGenerator<Buffer> {
  if (typeof input !== 'string' && !Buffer.isBuffer(input)) return yield* input;
  const bytes = Buffer.from(input);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function read(
  input: Input,
  {
    format = 'csv',
    charset = 'utf-8',
    size = 7,
  }: { format?: string; charset?: Charset; size?: number } = {},
): Promise<RawLine[]> {
  const pieces = wholeLines(chunksOf(input, size), charset);
  const lines: RawLine[] = [];
  for await (const line of format === 'csv' ? readCsv(pieces, template) : readNdjson(pieces))
    lines.push(line);
  return lines;
}
/** Pointer and words of the refusal of the whole file. */
async function refusal(input: Input, options?: Parameters<typeof read>[1]): Promise<string> {
  const error = await read(input, options).then(
    () => assert.fail('it was read'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Problem && error.code === 'validation-failed', String(error));
  const [fault] = error.options.errors ?? [];
  return `${fault?.pointer} ${fault?.detail}`;
}
const good = (line: number, phone: string, code: string) => ({
  line,
  value: { to: { phone }, variables: { code } },
});

describe('recipients as CSV', () => {
  it('are read whatever the line ends, quotes, empty lines, byte-order mark and chunks', async () => {
    const file =
      '\ufeffphone,code\r\n13900000001,"a, ""b"" 😀"\r\n\r\n13900000002,"two\nlines"\n13900000003,最后';
    for (const size of [1, 7, 4096])
      assert.deepEqual(await read(file, { size }), [
        good(2, '13900000001', 'a, "b" 😀'),
        good(5, '13900000002', 'two\nlines'),
        good(6, '13900000003', '最后'),
      ]);
  });

  it('name addresses and variables, with or without to. and variables.', async () => {
    const file =
      'to.email,variables.email,count,isNew,code\nli@example.com,x@y,12,true,001\n,,1e5,yes,-5\n';
    assert.deepEqual(await read(file), [
      {
        line: 2,
        value: {
          to: { email: 'li@example.com' },
          variables: { email: 'x@y', count: 12, isNew: true, code: '001' },
        },
      },
      // What is not spelled as a number or boolean stays text, which the check refuses.
      { line: 3, value: { to: {}, variables: { count: '1e5', isNew: 'yes', code: '-5' } } },
    ]);
  });

  it('name the language of each, unless the template has a variable of that name', async () => {
    assert.deepEqual(await read('phone,code,locale\n13900000001,a, zh-TW \n13900000002,b,\n'), [
      { line: 2, value: { ...good(2, '13900000001', 'a').value, locale: 'zh-TW' } },
      good(3, '13900000002', 'b'),
    ]);
  });

  it('keep what looks like a formula as the text that it is', async () => {
    const cell = '=HYPERLINK("http://x","y")';
    const file = `phone,code\n13900000001,"${cell.replaceAll('"', '""')}"\n`;
    assert.deepEqual(await read(file), [good(2, '13900000001', cell)]);
  });

  it('with another number of columns are faults of their lines', async () => {
    const lines = await read('phone,code\n13900000001\n13900000002,b,c\n13900000003,d\n');
    assert.deepEqual(
      lines.map((line) => ('fault' in line ? [line.line, line.fault.detail] : line.line)),
      [[2, 'has 1 columns; the header has 2'], [3, 'has 3 columns; the header has 2'], 4],
    );
  });

  it('without a header, or with one that cannot be meant, are refused without quoting a recipient', async () => {
    const missing = await refusal('13900000001,a\n13900000002,b\n');
    assert.match(missing, /^line\/1 must be a header: column 1 is neither/);
    assert.doesNotMatch(missing, /139/);
    assert.match(
      await refusal('phone,code,phone\n'),
      /^line\/1 names phone twice: again in column 3$/,
    );
    assert.match(await refusal('phone,code,to.phone\n'), /^line\/1 names phone twice/);
    assert.match(await refusal('code,count\n'), /^line\/1 has no column of addresses/);
    assert.match(await refusal('phone,nonsense\n'), /^line\/1 must be a header: column 2/);
    assert.match(await refusal('phone,__proto__\n'), /^line\/1 must be a header: column 2/);
    assert.match(await refusal(''), /^line\/1 /);
  });

  it('with quotes that cannot be understood are refused with the line', async () => {
    assert.match(
      await refusal('phone,code\n1,a\n2,b"c"\n3,d\n'),
      /^line\/3 has a quote inside a cell/,
    );
    assert.match(
      await refusal('phone,code\n1,"a"b\n2,c\n'),
      /^line\/2 has text behind a closing quote/,
    );
    assert.match(
      await refusal('phone,code\n1,a\n2,"b\n3,c\n'),
      /^line\/\d ends the file inside quotes/,
    );
  });

  it('in another encoding are refused with the line, and read where it is declared', async () => {
    // 您好 in GB18030, whose bytes are no UTF-8.
    const gb = Buffer.concat([
      Buffer.from('phone,code\n13900000001,a\n13900000002,'),
      Buffer.from([0xc4, 0xfa, 0xba, 0xc3]),
      Buffer.from('\n13900000003,b\n'),
    ]);
    for (const size of [1, 5, 4096]) {
      assert.match(await refusal(gb, { size }), /^line\/3 is not UTF-8; .*charset=gb18030/);
      const lines = await read(gb, { charset: 'gb18030', size });
      assert.deepEqual(lines[1], good(3, '13900000002', '您好'));
    }
    const utf16 = Buffer.from('\ufeffphone,code\n13900000001,a\n', 'utf16le');
    assert.match(await refusal(utf16), /^line\/1 is not UTF-8/);
    const broken = Buffer.concat([Buffer.from('phone,code\n1,a\n2,'), Buffer.from([0xff, 0x0a])]);
    assert.match(await refusal(broken, { charset: 'gb18030' }), /^line\/3 is not gb18030/);
  });

  it('with a million columns, or a line of a gigabyte, are refused after the first pieces', async () => {
    const columns = `phone${',code'.repeat(1_000_000)}\n`;
    assert.match(await refusal(columns, { size: 65_536 }), /^line\/1 is over 65536 bytes$/);
    assert.match(await refusal(columns, { size: columns.length }), /^line\/1 is over 65536 bytes$/);
    assert.match(await refusal(`phone${',code'.repeat(200)}\n`), /^line\/1 has 201 columns/);
    let given = 0;
    const gigabyte = function* (start: string, byte: string) {
      yield Buffer.from(start);
      for (; given < 1024 ** 3; given += 65_536) yield Buffer.alloc(65_536, byte);
    };
    for (const [start, byte] of [
      ['phone,code\n1,', 'x'],
      ['phone,code\n1,"', 'x\n'],
      ['phone,code\n1', ','],
    ] as const) {
      given = 0;
      assert.match(await refusal(gigabyte(start, byte)), /^line\/\d+ is over 65536 bytes$/);
      assert.ok(given < 300_000, `${given} bytes were read`);
    }
  });

  it('after very many empty lines are read all the same', async () => {
    const file = `phone,code\n${'\n'.repeat(300_000)}13900000001,a\n`;
    assert.deepEqual(await read(file, { size: 65_536 }), [good(300_002, '13900000001', 'a')]);
  });
});

describe('recipients as NDJSON', () => {
  it('are read line by line; a bad line is its own fault', async () => {
    const file =
      '\ufeff{"to":{"phone":"1"},"variables":{"code":"a"}}\r\n\n{"to":\n[1]\nnull\n{"to":{"phone":"2"}}';
    assert.deepEqual(await read(file, { format: 'ndjson' }), [
      good(1, '1', 'a'),
      { line: 3, fault: { pointer: '', detail: 'is not JSON' } },
      { line: 4, fault: { pointer: '', detail: 'is not a JSON object' } },
      { line: 5, fault: { pointer: '', detail: 'is not a JSON object' } },
      { line: 6, value: { to: { phone: '2' } } },
    ]);
  });
  it('of too long a line are refused with it', async () => {
    const file = `{"to":{"phone":"1"}}\n{"x":"${'y'.repeat(70_000)}"}\n`;
    for (const size of [1000, 200_000])
      assert.match(
        await refusal(file, { format: 'ndjson', size }),
        /^line\/2 is over 65536 bytes$/,
      );
  });
});
