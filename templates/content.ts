/** Stored content: JSON whose strings are template texts. */

/** The same content with every string replaced; keys, numbers and the order of everything stay. */
export function mapStrings(
  content: unknown,
  replace: (text: string, pointer: string) => string,
  pointer = '',
): unknown {
  if (typeof content === 'string') return replace(content, pointer);
  if (Array.isArray(content))
    return content.map((item, index) => mapStrings(item, replace, `${pointer}/${index}`));
  if (typeof content !== 'object' || content === null) return content;
  return Object.fromEntries(
    Object.entries(content).map(([key, value]) => [
      key,
      mapStrings(value, replace, `${pointer}/${escapePointer(key)}`),
    ]),
  );
}

/** A key as a part of a JSON Pointer. */
export function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
