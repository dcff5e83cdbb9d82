/** The languages of a template: which there are, and which of them a message is rendered in. */
import { lookup } from 'bcp-47-match';
import { canonicalLocale, localeFault, type UsedLocale } from '../contracts/locale.ts';
import type { FieldFault } from '../contracts/problems.ts';
import type { Template, TemplateEdit } from '../contracts/template.ts';
import { escapePointer } from './content.ts';

type Localised = Pick<Template, 'contents' | 'locale' | 'locales'>;

/** One content of a template. */
export interface Part {
  readonly connectorName: string;
  readonly content: unknown;
  /** JSON Pointer into the template. */
  readonly pointer: string;
  /** Its language; absent: the template does not say. */
  readonly locale?: string;
}

/** Who wants which language, as far as it is known. */
export interface WantedLocales {
  readonly message?: string | undefined;
  /** Asked only when the message names none. */
  readonly person?: string | undefined;
  readonly tenant?: string | undefined;
}

/** All contents, those of the template's own language first. */
export function partsOf({ contents, locale, locales = {} }: Localised): Part[] {
  return [
    ...Object.keys(contents).map((name) => toPart(name, contents, { base: '/contents', locale })),
    ...Object.entries(locales).flatMap(([tag, of]) =>
      Object.keys(of).map((name) => toPart(name, of, { base: baseOf(tag), locale: tag })),
    ),
  ];
}

/** The content for a connector in a language that chooseLocale gave; without one, or where it has none, the template's own. */
export function partFor(
  { contents, locale, locales = {} }: Localised,
  connectorName: string,
  wanted: string | undefined,
): Part | undefined {
  const translated =
    wanted !== undefined && Object.hasOwn(locales, wanted) ? locales[wanted] : undefined;
  if (wanted !== undefined && translated !== undefined && Object.hasOwn(translated, connectorName))
    return toPart(connectorName, translated, { base: baseOf(wanted), locale: wanted });
  return Object.hasOwn(contents, connectorName)
    ? toPart(connectorName, contents, { base: '/contents', locale })
    : undefined;
}

const baseOf = (tag: string) => `/locales/${escapePointer(tag)}`;

function toPart(
  connectorName: string,
  of: Readonly<Record<string, unknown>>,
  { base, locale }: { readonly base: string; readonly locale?: string | undefined },
): Part {
  return {
    connectorName,
    content: of[connectorName],
    pointer: `${base}/${escapePointer(connectorName)}`,
    ...(locale !== undefined && { locale }),
  };
}

/**
 * The language of a message through one connector, by lookup as in RFC 4647: each wish in turn, from its whole tag to its
 * first part (zh-Hant-TW, zh-Hant, zh); when none is there, the template's own. Undefined: the template does not name its
 * languages.
 */
export function chooseLocale(
  { locale, locales = {} }: Localised,
  connectorName: string,
  { message, person, tenant }: WantedLocales,
): UsedLocale | undefined {
  if (locale === undefined) return undefined;
  const tags = [
    locale,
    ...Object.keys(locales).filter((tag) => Object.hasOwn(locales[tag] ?? {}, connectorName)),
    // The library takes the first tag that fits any part of a wish: the longest must come first.
  ].toSorted((a, b) => b.length - a.length);
  const wishes = [
    message === undefined ? (['person', person] as const) : (['message', message] as const),
    ['tenant', tenant] as const,
  ];
  for (const [localeFrom, wish] of wishes) {
    const found = wish === undefined ? undefined : lookup(tags, wish);
    if (found !== undefined) return { locale: found, localeFrom };
  }
  return { locale, localeFrom: 'template' };
}

/** What is wrong with the tags of a template, pointers into it. */
export function localeFaults({ locale, locales = {} }: Localised): FieldFault[] {
  const faults: FieldFault[] = [];
  const seen = new Map<string, string>();
  const add = (tag: string, pointer: string) => {
    const canonical = canonicalLocale(tag);
    const other = seen.get(canonical ?? '');
    const detail =
      canonical === undefined
        ? localeFault(tag)
        : new Intl.Locale(canonical).baseName !== canonical
          ? 'says more than a language, script, region and variant'
          : other && `is the language of ${other} already`;
    if (detail !== undefined) faults.push({ pointer, detail });
    if (canonical !== undefined) seen.set(canonical, pointer === '/locale' ? 'contents' : pointer);
  };
  if (locale !== undefined) add(locale, '/locale');
  else if (Object.keys(locales).length > 0)
    faults.push({
      pointer: '/locale',
      detail: 'is needed beside locales: the language of contents',
    });
  for (const tag of Object.keys(locales)) add(tag, baseOf(tag));
  return faults;
}

/** A template without localeFaults, with every tag in its one spelling. */
export function withCanonicalLocales(edit: TemplateEdit): TemplateEdit {
  const { locale, locales } = edit;
  const spelled = (tag: string) => canonicalLocale(tag) ?? tag;
  return {
    ...edit,
    ...(locale !== undefined && { locale: spelled(locale) }),
    ...(locales !== undefined && {
      locales: Object.fromEntries(
        Object.entries(locales).map(([tag, contents]) => [spelled(tag), contents]),
      ),
    }),
  };
}
