/**
 * What WeChat takes as values of template fields. A field's name says its type: `thing1` is a `thing`. Pure. Limits:
 * parameter table of subscribeMessage.send; names of no known type (first, keyword1) have none.
 */

const clock = String.raw`(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?`;
const day = String.raw`(?:\d{4}年\d{1,2}月(?:\d{1,2}日)?|\d{1,2}月\d{1,2}日|(?:\d{4}[-/.])?\d{1,2}[-/.]\d{1,2}|\d{4}[-/.]\d{1,2})`;
/** One moment, or two joined by a tilde. */
const moments = (one: string) => new RegExp(String.raw`^${one}(?:\s*[~～]\s*${one})?$`);
const timePattern = moments(String.raw`(?:${day}\s*)?${clock}`);
const datePattern = moments(String.raw`${day}(?:\s*${clock})?`);

/** Characters as people count them, not UTF-16 units. */
export const lengthOf = (value: string) => Array.from(value).length;
const upTo = (longest: number) => (value: string) => lengthOf(value) <= longest;
const like = (pattern: RegExp) => (value: string) => pattern.test(value);

/** The most characters of a kind, where WeChat says it in characters. A name of Chinese characters has half of them. */
const longest: Readonly<Record<string, number>> = {
  thing: 20,
  number: 32,
  letter: 32,
  symbol: 5,
  character_string: 32,
  phone_number: 17,
  car_number: 8,
  name: 20,
  phrase: 5,
};

const fits: Readonly<Record<string, (value: string) => boolean>> = {
  thing: upTo(20),
  number: (value) => /^\d+(?:\.\d+)?$/.test(value) && value.replace('.', '').length <= 32,
  letter: like(/^[A-Za-z]{1,32}$/),
  symbol: like(/^[^\p{L}\p{N}]{1,5}$/u),
  character_string: like(/^[^\p{Script=Han}]{1,32}$/u),
  time: like(timePattern),
  date: like(datePattern),
  amount: like(/^[^\d\s]?\d{1,10}(?:\.\d+)?元?$/u),
  phone_number: like(/^[^\p{L}]{1,17}$/u),
  car_number: upTo(8),
  name: (value) => lengthOf(value) <= (/\p{Script=Han}/u.test(value) ? 10 : 20),
  phrase: like(/^\p{Script=Han}{1,5}$/u),
};

/** The first field whose value WeChat would refuse (47003), or undefined. */
export function unfitField(data: Readonly<Record<string, string>>): string | undefined {
  return Object.entries(data).find(([field, value]) => !fitsField(field, value))?.[0];
}

/** Whether WeChat takes the value in this field. */
export function fitsField(field: string, value: string): boolean {
  if (value.trim() === '') return false;
  const kind = kindOf(field);
  return kind === undefined || fits[kind]?.(value) === true;
}

/** The kind that a field's name says; undefined: none that is known, so anything fits. */
export function kindOf(field: string): string | undefined {
  const kind = /^([a-z_]+?)\d*$/.exec(field)?.[1] ?? '';
  return Object.hasOwn(fits, kind) ? kind : undefined;
}

/** The most characters that the field takes, whatever they are; undefined: its kind is not limited so. */
export function lengthLimit(field: string): number | undefined {
  return longest[kindOf(field) ?? ''];
}
