/** One item for one person, in the inbox that our own database keeps; nothing leaves our servers. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import { InboxContentSchema, type InboxContent, type InboxWriter } from '../../contracts/inbox.ts';
import { addressAs } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { Problem } from '../../contracts/problems.ts';

/** Longer than the store's own limit for a put. */
export const callTimeoutMs = 6000;
/** As long as a message can live, and longer: while an item is kept, its delivery key is known again. */
export const shortestKeepDays = 7;
export const longestKeepDays = 1095;
const usualKeepDays = 90;

export const SettingsSchema = Type.Object(
  {
    retentionDays: Type.Optional(
      Type.Integer({
        minimum: shortestKeepDays,
        maximum: longestKeepDays,
        default: usualKeepDays,
        description: 'Days for which an item is kept, read or not.',
      }),
    ),
  },
  { additionalProperties: false },
);
export const SecretsSchema = Type.Object(
  {},
  { additionalProperties: false, description: 'None: the inbox is ours.' },
);

/** What a browser would run rather than open. */
const unsafeSchemes = new Set(['javascript:', 'data:', 'vbscript:', 'file:', 'blob:']);

/** The client of one account. Never throws for what the database does. */
export function createInboxClient({
  account,
  inbox,
}: {
  readonly account: AccountAccess<Static<typeof SettingsSchema>, Static<typeof SecretsSchema>>;
  readonly inbox: InboxWriter;
}): ConnectorClient {
  const { id: accountId, tenantId, settings } = account;
  const keepDays = settings.retentionDays ?? usualKeepDays;
  return {
    send: async ({ to, content, deliveryKey, signal }: SendRequest): Promise<SendOutcome> => {
      const userId = addressAs('userId', to);
      if (userId === undefined) return noUser;
      const fault = contentFault(content);
      if (fault !== undefined) return { class: 'content-rejected', ...fault };
      if (signal.aborted) return stopping;
      return reachable(async () => {
        const entry = { tenantId, userId, id: deliveryKey, accountId, keepDays };
        const result = await inbox.put({ ...entry, content: content as InboxContent });
        return { class: result === 'stored' ? 'accepted' : 'duplicate', providerId: deliveryKey };
      });
    },
    // Where there is no such item, nobody sees it: that is what was asked for.
    recall: async ({ to, deliveryKey, signal }) => {
      const userId = addressAs('userId', to);
      if (userId === undefined) return noUser;
      if (signal.aborted) return stopping;
      return reachable(async () => {
        await inbox.recall({ tenantId, userId, id: deliveryKey });
        return { class: 'accepted', providerId: deliveryKey };
      });
    },
    verify: (signal) =>
      signal.aborted
        ? Promise.resolve(stopping)
        : reachable(async () => {
            await inbox.check();
            return { class: 'accepted', providerId: accountId };
          }),
    close: () => Promise.resolve(),
  };
}

const noUser: SendOutcome = {
  class: 'recipient-invalid',
  providerCode: 'no-user-id',
  providerMessage: 'an inbox belongs to a userId',
};
const stopping: SendOutcome = { class: 'transient', providerMessage: 'stopped before the call' };

/** Only a put whose commit was asked for and not answered is in doubt. */
async function reachable(call: () => Promise<SendOutcome>): Promise<SendOutcome> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'store-unavailable') throw error;
    return {
      class: error.options.stored === 'unknown' ? 'ambiguous' : 'transient',
      providerCode: error.code,
      providerMessage: 'the database does not answer',
    };
  }
}

/** What is wrong with rendered content; it tells the field, never its value. */
function contentFault(
  content: unknown,
): { readonly providerCode: string; readonly providerMessage: string } | undefined {
  if (!Check(InboxContentSchema, content))
    return {
      providerCode: 'content-invalid',
      providerMessage: 'a field of the rendered content is missing, unknown or too long',
    };
  const { url } = content;
  if (url !== undefined && !isSafe(url))
    return { providerCode: 'url-unsafe', providerMessage: 'url is not an address to be opened' };
  return undefined;
}

/** Read as a browser reads it, which ignores tabs, line ends and leading spaces. */
function isSafe(url: string): boolean {
  const base = 'https://inbox.invalid';
  return URL.canParse(url, base) && !unsafeSchemes.has(new URL(url, base).protocol);
}
