/** Languages of what people read, as BCP 47 tags. Carried by: services, administrators → everyone. */
import { Type } from 'typebox';

export const LocaleSchema = Type.String({
  minLength: 2,
  maxLength: 35,
  description: 'Language tag (BCP 47).',
  examples: ['zh-CN'],
});

/** Who asked for the language that a message was rendered in. template: nobody whose language it has. */
export const localeSources = ['message', 'person', 'tenant', 'template'] as const;
type LocaleSource = (typeof localeSources)[number];

/** The language that a message is rendered in, and who asked for it. */
export interface UsedLocale {
  readonly locale: string;
  readonly localeFrom: LocaleSource;
}

/** The one spelling of a tag: `zh-cn` is `zh-CN`. Undefined: it is none. */
export function canonicalLocale(tag: string): string | undefined {
  try {
    return Intl.getCanonicalLocales(tag)[0];
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** What is wrong with a language tag; undefined: nothing. */
export function localeFault(tag: string): string | undefined {
  return canonicalLocale(tag) === undefined
    ? 'is not a language tag (BCP 47), such as zh-CN or en'
    : undefined;
}

/** The same with its locale in the one spelling; it has passed localeFault. */
export function withCanonicalLocale<T extends { readonly locale?: string }>(value: T): T {
  const { locale } = value;
  return locale === undefined ? value : { ...value, locale: canonicalLocale(locale) ?? locale };
}
