/** The access token of an account, from `stable_token` in normal mode: repeated calls get the same one and end none. */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { FetchedToken } from '../../contracts/channel.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { TokenRefused } from '../../platform/provider-tokens.ts';
import { parseJson } from '../kit/answers.ts';
import { classifyAnswer, type ClassifyContext } from './classify.ts';

const TokenSchema = Type.Object({
  access_token: Type.String({ minLength: 1, maxLength: 512 }),
  expires_in: Type.Integer({ minimum: 1 }),
});

/** Path and body of the call. Never with `force_refresh`, which ends the token that others use. */
export function tokenRequest(appId: string, appSecret: string) {
  return {
    path: '/cgi-bin/stable_token',
    body: {
      grant_type: 'client_credential',
      appid: appId,
      secret: appSecret,
      force_refresh: false,
    },
  };
}

/** The token in an answer. Errors: TokenRefused with what the send comes to; no message was sent by then. */
export function readToken(answer: ProviderAnswer, context: ClassifyContext): FetchedToken {
  const body = answer.kind === 'answer' && answer.status < 300 ? parseJson(answer.body) : undefined;
  if (Check(TokenSchema, body))
    return { token: body.access_token, expiresInMs: body.expires_in * 1000 };
  throw new TokenRefused(asTokenOutcome(classifyAnswer(answer, context)));
}

function asTokenOutcome(outcome: SendOutcome): SendOutcome {
  switch (outcome.class) {
    // Success without a token, or an answer that was lost: nothing has happened but that there is no token.
    case 'accepted':
    case 'duplicate':
    case 'ambiguous': {
      const { providerCode, providerMessage } = outcome;
      return {
        class: 'transient',
        ...(providerCode !== undefined && { providerCode }),
        ...(providerMessage !== undefined && { providerMessage }),
      };
    }
    // Here 40001 speaks of the secret.
    case 'auth-expired':
      return { ...outcome, class: 'auth-invalid', providerMessage: 'the AppSecret is wrong' };
    case 'transient':
    case 'rate-limited':
    case 'auth-invalid':
    case 'quota-exhausted':
    case 'recipient-invalid':
    case 'recipient-refused':
    case 'content-rejected':
    case 'template-invalid':
      return outcome;
  }
}
