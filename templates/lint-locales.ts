/** The part of the lint that compares the languages of a template. */
import type { TemplateEdit } from '../contracts/template.ts';
import type { Finding } from '../contracts/template-lint.ts';
import { escapePointer } from './content.ts';
import { partsOf } from './locales.ts';

/** Contents that nobody would ever get: whether a channel is offered is said by those of the template's own language. */
export function strayFindings(edit: TemplateEdit): Finding[] {
  return partsOf({ ...edit, contents: {} })
    .filter(({ connectorName }) => !Object.hasOwn(edit.contents, connectorName))
    .map(({ connectorName, pointer }) => ({
      level: 'error',
      pointer,
      code: 'locale-stray',
      detail: `is never sent: contents have none for ${connectorName}`,
    }));
}

/** What a language lacks that the template's own has: contents, and variables in them. `used`: by pointer of the content. */
export function localeFindings(
  edit: TemplateEdit,
  used: ReadonlyMap<string, ReadonlySet<string>>,
): Finding[] {
  const lacking = Object.entries(edit.locales ?? {}).flatMap(([tag, translated]) =>
    Object.keys(edit.contents)
      .filter((connectorName) => !Object.hasOwn(translated, connectorName))
      .map((connectorName) => ({
        level: 'warning' as const,
        pointer: `/locales/${escapePointer(tag)}`,
        code: 'locale-incomplete',
        detail: `has nothing for ${connectorName}: who wants ${tag} gets another language there`,
      })),
  );
  const forgotten = partsOf({ ...edit, contents: {} }).flatMap(({ connectorName, pointer }) =>
    [...(used.get(`/contents/${escapePointer(connectorName)}`) ?? [])]
      .filter((name) => used.get(pointer)?.has(name) !== true)
      .map((name) => ({
        level: 'warning' as const,
        pointer,
        code: 'variable-missing',
        detail: `does not use "${name}", which ${edit.locale} does`,
      })),
  );
  return [...unknownFindings(edit), ...lacking, ...forgotten];
}

const languageNames = new Intl.DisplayNames('en', { type: 'language', fallback: 'none' });

/** Well-formed, but no language's: `english`. */
function unknownFindings({ locale, locales = {} }: TemplateEdit): Finding[] {
  const tags = Object.keys(locales).map((tag) => [tag, `/locales/${escapePointer(tag)}`] as const);
  return [...(locale === undefined ? [] : [[locale, '/locale'] as const]), ...tags]
    .filter(([tag]) => languageNames.of(new Intl.Locale(tag).language) === undefined)
    .map(([tag, pointer]) => ({
      level: 'warning',
      pointer,
      code: 'locale-unknown',
      detail: `"${tag}" begins with no language that is known`,
    }));
}
