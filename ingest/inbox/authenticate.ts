/** Who may open an inbox: a service with its API key any of its tenant's, a person with a user token their own. */
import type { ApiScope } from '../../contracts/api-scopes.ts';
import { problem } from '../../contracts/problems.ts';
import type { Credentials } from '../../platform/http.ts';
import { userTokenPrefix, type UserTokens } from './user-tokens.ts';

export interface InboxCaller {
  readonly tenantId: string;
  /** What the caller's API key may do; a person has none. */
  readonly scopes?: readonly ApiScope[];
  /** Set for a user token: only this person's inbox, and only until then. */
  readonly person?: { readonly userId: string; readonly expiresAtMs: number };
}

export interface AuthenticateDeps {
  readonly tokens: UserTokens;
  /** The tenant of an API key. Errors: the problem unauthorized. */
  readonly callerOfKey: (headers: Credentials['headers']) => Promise<Omit<InboxCaller, 'person'>>;
}

/** Makes the check. `?token=` counts only where a browser cannot set headers. Errors: the problem unauthorized. */
export function createAuthenticate({ tokens, callerOfKey }: AuthenticateDeps) {
  return ({ takesTokenInQuery }: { readonly takesTokenInQuery: boolean }) =>
    async ({ headers, query }: Credentials): Promise<InboxCaller> => {
      const { authorization } = headers;
      const inHeader = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1];
      const inQuery =
        takesTokenInQuery && authorization === undefined && typeof query['token'] === 'string'
          ? query['token']
          : undefined;
      if (inQuery === undefined && inHeader?.startsWith(userTokenPrefix) !== true)
        return callerOfKey(headers);
      const holder = tokens.open(inQuery ?? inHeader ?? '');
      if (holder === undefined)
        throw problem('unauthorized', { detail: 'This is not one of our user tokens.' });
      const { tenantId, userId, expiresAtMs } = holder;
      if (expiresAtMs <= Date.now())
        throw problem('unauthorized', { detail: 'The user token has expired; get a new one.' });
      return { tenantId, person: { userId, expiresAtMs } };
    };
}

/** Errors: the problem forbidden, when a person asks for somebody else's inbox. */
export function assertMayOpen(caller: InboxCaller, userId: string): void {
  if (caller.person !== undefined && caller.person.userId !== userId)
    throw problem('forbidden', { detail: "This token opens its own person's inbox only." });
}
