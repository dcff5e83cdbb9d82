/** Which of a template's languages a message is rendered in. */
import type { UsedLocale } from '../contracts/locale.ts';
import { addressAs, type AcceptedMessage, type To } from '../contracts/message.ts';
import type { Person } from '../contracts/people.ts';
import { Problem } from '../contracts/problems.ts';
import type { Template } from '../contracts/template.ts';
import type { TenantPolicy } from '../contracts/tenant-policy.ts';
import type { Logger } from '../platform/logger.ts';
import { chooseLocale, type WantedLocales } from '../templates/index.ts';

/** Errors of both calls: the problem store-unavailable. */
export interface LocaleDeps {
  readonly policy: (tenantId: string) => Promise<TenantPolicy>;
  readonly personOf: (key: { tenantId: string; userId: string }) => Promise<Person | undefined>;
  readonly logger: Logger;
}

export type LanguageOf = (
  message: AcceptedMessage,
  of: { readonly template: Template; readonly to: To },
) => Promise<UsedLocale | undefined>;

/**
 * Makes the choice; undefined: the template does not name its languages. Errors: while MySQL is away, store-unavailable for
 * marketing, which waits; others go in the language that can be told without it.
 */
export function createLanguageOf(deps: LocaleDeps): LanguageOf {
  return async (message, { template, to }) => {
    const choose = (wanted: WantedLocales) => chooseLocale(template, message.connector, wanted);
    const own = choose({ message: message.locale });
    // Most are settled without a look at anybody: one language, or the very one that was asked for.
    if (own === undefined || own.localeFrom === 'message' || template.locales === undefined)
      return own;
    const [person, tenant] = await Promise.all([
      orUnknown(deps, message, () => localeOfPerson(deps, message, to)),
      orUnknown(deps, message, async () => (await deps.policy(message.tenantId)).locale),
    ]);
    return choose({ message: message.locale, person, tenant });
  };
}

async function orUnknown<T>(
  { logger }: LocaleDeps,
  { id: messageId, kind }: AcceptedMessage,
  ask: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    const isAway = error instanceof Problem && error.code === 'store-unavailable';
    if (!isAway || kind === 'marketing') throw error;
    logger.warn({ messageId, error }, 'locale.unchecked');
    return undefined;
  }
}

async function localeOfPerson(
  { personOf }: LocaleDeps,
  { tenantId, locale }: AcceptedMessage,
  to: To,
): Promise<string | undefined> {
  const userId = addressAs('userId', to);
  if (locale !== undefined || userId === undefined) return undefined;
  return (await personOf({ tenantId, userId }))?.locale;
}
