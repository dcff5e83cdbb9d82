/**
 * The little of MIME that reports need (RFC 5322, 2045, 2046): headers, parts, decoded text. Synchronous, linear, and
 * forgiving as mail servers are; what has no header at all is no mail.
 */

export interface MimePart {
  /** Names in lower case, values unfolded; of a repeated header all values, each on a line. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes as latin1, not decoded. */
  readonly body: string;
}

/** Names by RFC 9110's narrower rule, which all mail keeps: RFC 5322 would let JSON pass for a header. */
const headerLine = /^([\w!#$%&'*+.^`|~-]+)[ \t]*:[ \t]*(.*)$/;
const maxParts = 50;
/** Of a value that is taken apart; no honest one is longer. */
const maxValueLength = 2000;

/** Splits bytes into headers and body; undefined where they do not begin with headers. */
export function parseMail(bytes: Uint8Array): MimePart | undefined {
  // Pipes of mail servers may put mbox's "From " line before everything.
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/^From [^\n]*\n/, '');
  return parsePart(text);
}

/** The parts of a multipart, or none. */
export function partsOf(part: MimePart): readonly MimePart[] {
  const { type, parameters } = contentType(part);
  const boundary = parameters.get('boundary');
  if (!type.startsWith('multipart/') || boundary === undefined) return [];
  const parts: MimePart[] = [];
  let lines: string[] | undefined;
  const finish = () => {
    // A part may have no headers: then it begins with the empty line.
    if (lines !== undefined) parts.push(parsePart(lines.join('\n')) ?? emptyPart);
  };
  for (const line of part.body.split(/\r?\n/)) {
    const mark = line.trimEnd();
    if (mark !== `--${boundary}` && mark !== `--${boundary}--`) {
      lines?.push(line);
      continue;
    }
    finish();
    lines = mark.endsWith('--') && mark !== `--${boundary}` ? undefined : [];
    if (lines === undefined || parts.length >= maxParts) return parts;
  }
  finish();
  return parts;
}

/** `multipart/report` and its parameters; text/plain where nothing is said. */
export function contentType(part: MimePart): {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
} {
  const value = (part.headers.get('content-type') ?? 'text/plain').slice(0, maxValueLength);
  const found = value.matchAll(/;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/g);
  const parameters = new Map<string, string>();
  for (const [, name = '', quoted, plain = ''] of found)
    parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain);
  return { type: (value.split(';')[0] ?? '').trim().toLowerCase(), parameters };
}

/** The body as text: transfer encoding undone, read as UTF-8. */
export function textOf(part: MimePart): string {
  const encoding = (part.headers.get('content-transfer-encoding') ?? '').trim().toLowerCase();
  if (encoding === 'base64') return Buffer.from(part.body, 'base64').toString('utf8');
  if (encoding !== 'quoted-printable') return Buffer.from(part.body, 'latin1').toString('utf8');
  const bytes = part.body
    .replace(/=[ \t]*\r?\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Groups of `Name: value` lines with empty lines between, as in message/delivery-status. */
export function fieldGroups(text: string): readonly ReadonlyMap<string, string>[] {
  return text
    .split(/\r?\n[ \t]*\r?\n/)
    .map((group) => parseHeaders(group))
    .filter((fields) => fields.size > 0);
}

/** Header lines to a map; lines that are none are left out. */
export function parseHeaders(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of unfold(text).split(/\r?\n/)) {
    const [, name, value = ''] = headerLine.exec(line) ?? [];
    if (name === undefined) continue;
    const known = fields.get(name.toLowerCase());
    fields.set(name.toLowerCase(), known === undefined ? value : `${known}\n${value}`);
  }
  return fields;
}

const emptyPart: MimePart = { headers: new Map(), body: '' };

function parsePart(text: string): MimePart | undefined {
  const end = /^\r?\n/.test(text) ? 0 : text.search(/\r?\n\r?\n/);
  const head = end === -1 ? text : text.slice(0, end);
  const body = end === -1 ? '' : text.slice(end).replace(/^(\r?\n){1,2}/, '');
  if (end === 0) return { headers: new Map(), body };
  // Every line must be a header, or what looks like mail could be any text with a colon in it.
  if (
    !unfold(head)
      .split(/\r?\n/)
      .every((line) => headerLine.test(line))
  )
    return undefined;
  return { headers: parseHeaders(head), body };
}

const unfold = (text: string) => text.replace(/\r?\n(?=[ \t])/g, '');
