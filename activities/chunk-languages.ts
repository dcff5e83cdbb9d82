/** The languages of a chunk's members: few, however many the members are. */
import type { ChunkLanguage } from '../contracts/chunk-activities.ts';
import type { UsedLocale } from '../contracts/locale.ts';

/** Members by their language, from one entry for each place; undefined: it has none. */
export function toChunkLanguages(byPlace: readonly (UsedLocale | undefined)[]): ChunkLanguage[] {
  const found = new Map<string, UsedLocale & { places: number[] }>();
  for (const [place, language] of byPlace.entries()) {
    if (language === undefined) continue;
    const key = `${language.locale} ${language.localeFrom}`;
    const group = found.get(key) ?? { ...language, places: [] };
    group.places.push(place);
    found.set(key, group);
  }
  return [...found.values()];
}

/** The language of one member. */
export function languageAt(
  languages: readonly ChunkLanguage[] | undefined,
  place: number,
): UsedLocale | undefined {
  const found = languages?.find(({ places }) => places.includes(place));
  return found && { locale: found.locale, localeFrom: found.localeFrom };
}
