/**
 * The cid of each delivery: what JPush knows a repeated push by. JPush gives them out; which delivery has which is kept
 * where all processes see it, in the token store, so that a repeat by another worker uses the same one.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { FetchedToken, ProviderTokens } from '../../contracts/channel.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { TokenRefused, tokenName } from '../../platform/provider-tokens.ts';
import { parseJson } from '../kit/answers.ts';
import { classifyRefusal } from './classify.ts';

/** A cid lives a day from when JPush gave it out; an hour less is what we rely on. */
const cidLifeMs = 23 * 3_600_000;
/** Cids that wait here, given to no delivery yet, for longer than this are thrown away. */
const waitsMs = 30 * 60_000;
/** As many as a free app gets in one call; each call counts against the quota of pushes. */
export const cidsPerCall = 10;

const CidListSchema = Type.Object({
  cidlist: Type.Array(Type.String({ pattern: '^[A-Za-z0-9-]{1,128}$' }), { minItems: 1 }),
});

export interface CidDesk {
  /** The delivery's cid, the same for every repeat. Errors: TokenRefused; nothing was pushed then. */
  cidFor(ref: string): Promise<string>;
}

export function createCidDesk(options: {
  readonly accountId: string;
  readonly appKey: string;
  readonly tokens: ProviderTokens;
  /** Asks JPush for this many. */
  readonly ask: (count: number) => Promise<ProviderAnswer>;
  readonly now: () => number;
  readonly random: () => number;
}): CidDesk {
  const { accountId, appKey, tokens, ask, now, random } = options;
  let waiting: { readonly cid: string; readonly sinceMs: number }[] = [];
  let asking: Promise<void> | undefined;

  const refill = async (): Promise<void> => {
    const sinceMs = now();
    const answer = await ask(cidsPerCall);
    waiting.push(...readCids(answer, random()).map((cid) => ({ cid, sinceMs })));
  };
  const take = async (): Promise<FetchedToken> => {
    for (;;) {
      waiting = waiting.filter(({ sinceMs }) => now() - sinceMs < waitsMs);
      const next = waiting.shift();
      if (next !== undefined)
        return { token: next.cid, expiresInMs: cidLifeMs - (now() - next.sinceMs) };
      asking ??= refill().finally(() => {
        asking = undefined;
      });
      await asking;
    }
  };
  return {
    cidFor: (ref) => tokens.current({ accountId, name: tokenName('cid', appKey, ref) }, take),
  };
}

/** The cids of an answer. Errors: TokenRefused; what is ambiguous elsewhere is transient here, for nothing was pushed. */
export function readCids(answer: ProviderAnswer, jitter: number): readonly string[] {
  const refusal = classifyRefusal(answer, { to: [], jitter });
  const body = answer.kind === 'answer' ? parseJson(answer.body) : undefined;
  if (refusal === undefined && Check(CidListSchema, body)) return body.cidlist;
  if (refusal === undefined)
    throw new TokenRefused({ class: 'transient', providerMessage: 'an answer without cids' });
  throw new TokenRefused(
    refusal.class === 'ambiguous' ? { ...refusal, class: 'transient' } : refusal,
  );
}
