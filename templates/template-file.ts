/** Templates as text: one form for one meaning, so that files compare by their lines. */
import { createTwoFilesPatch } from 'diff';
import type { TemplateEdit } from '../contracts/template.ts';

/** A diff of more takes longer than it helps. */
const mostChangedLines = 2000;

/**
 * A template with its keys in one order. Contents keep theirs, which is the preference, and so does what is in them: a
 * provider may get it as it is written.
 */
export function canonicalTemplate(edit: TemplateEdit): TemplateEdit {
  const { name, kind, description, isSearchable, variables, contents, locale, locales } = edit;
  return {
    name,
    kind,
    ...(description !== undefined && { description }),
    ...(isSearchable !== undefined && { isSearchable }),
    variables: Object.fromEntries(
      Object.entries(sorted(variables)).map(
        ([variable, { type, required, maxLength, description: words }]) => [
          variable,
          {
            type,
            ...(required !== undefined && { required }),
            ...(maxLength !== undefined && { maxLength }),
            ...(words !== undefined && { description: words }),
          },
        ],
      ),
    ),
    ...(locale !== undefined && { locale }),
    contents,
    ...(locales !== undefined && {
      locales: sorted(
        Object.fromEntries(Object.entries(locales).map(([tag, of]) => [tag, sorted(of)])),
      ),
    }),
  };
}

function sorted<T>(of: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether two templates say the same. */
export function isSameTemplate(a: TemplateEdit, b: TemplateEdit): boolean {
  return JSON.stringify(canonicalTemplate(a)) === JSON.stringify(canonicalTemplate(b));
}

/** What changes from one template to the other, as a unified diff; empty when nothing does. */
export function diffTemplates(
  from: { readonly label: string; readonly edit: TemplateEdit },
  to: { readonly label: string; readonly edit: TemplateEdit },
): string {
  const [before, after] = [readable(from.edit), readable(to.edit)];
  return before === after ? '' : createTwoFilesPatch(from.label, to.label, before, after);
}

/** What changes from one rendered content to the other, in the same form; undefined: too much for a diff to say. */
export function diffContents(
  from: { readonly label: string; readonly content: unknown },
  to: { readonly label: string; readonly content: unknown },
): string | undefined {
  const [before, after] = [readableJson(from.content), readableJson(to.content)];
  return createTwoFilesPatch(from.label, to.label, before, after, '', '', {
    maxEditLength: mostChangedLines,
  });
}

function readable(edit: TemplateEdit): string {
  return readableJson(canonicalTemplate(edit));
}

/** For people: a text of several lines is a list of them, so that a diff shows the line that changed. */
function readableJson(value: unknown): string {
  const byLine = (_key: string, inner: unknown) =>
    typeof inner === 'string' && inner.includes('\n') ? inner.split('\n') : inner;
  return `${JSON.stringify(value, byLine, 2)}\n`;
}
