/** Puts what a run printed into documents, between two markers, so that no number there is anybody's memory. */

const begin = (name: string) => `<!-- bench:${name} -->`;
const end = (name: string) => `<!-- /bench:${name} -->`;

/** The document with the text between the markers of `name` replaced. Errors: the markers are not there once each, in order. */
export function replaceBetween(document: string, name: string, text: string): string {
  const [before, rest, ...more] = document.split(begin(name));
  const [, after, ...others] = rest?.split(end(name)) ?? [];
  if (before === undefined || after === undefined || more.length > 0 || others.length > 0)
    throw new Error(`the document must have ${begin(name)} and ${end(name)}, once each`);
  return `${before}${begin(name)}\n\n${text}\n\n${end(name)}${after}`;
}
