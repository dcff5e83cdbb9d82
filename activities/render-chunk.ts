/** Stage 4 of a chunk: pins the template's version, and finds the members that cannot go by the batch call. */
import { recalled } from '../contracts/activities.ts';
import type { AloneMember, MemberEnd, RenderChunkResult } from '../contracts/chunk-activities.ts';
import { leastChunkRate, memberMessage, type ChunkMessage } from '../contracts/chunk.ts';
import type { UsedLocale } from '../contracts/locale.ts';
import type { Connector } from '../contracts/channel.ts';
import { addressOf, type AcceptedMessage } from '../contracts/message.ts';
import type { Account, Template } from '../contracts/template.ts';
import type { StopVerdict } from '../store/index.ts';
import { renderContent } from '../templates/index.ts';
import { createLanguageOf } from './choose-locale.ts';
import { toChunkLanguages } from './chunk-languages.ts';
import { createPermit, type PermitDeps } from './permit.ts';
import { endIfExpired, type OpenRequest } from './sealed-request.ts';
import { attemptMarginMs } from './waits.ts';

export interface RenderChunkDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly account: (accountId: string) => Promise<Account | undefined>;
  readonly currentTemplate: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly openRequest: OpenRequest;
  readonly stopOf: (message: AcceptedMessage) => StopVerdict;
  readonly permits: PermitDeps;
  /** Those of these people who said through this channel that they want no more. */
  readonly optedOut: (
    of: { readonly tenantId: string; readonly channel: string },
    recipientHashes: readonly string[],
  ) => Promise<ReadonlySet<string>>;
}

/** Makes the activity. Errors: the store does not answer; the worker calls again. */
export function createRenderChunk(deps: RenderChunkDeps) {
  return async function renderChunk({
    chunk,
  }: {
    readonly chunk: ChunkMessage;
  }): Promise<RenderChunkResult> {
    const messages = chunk.members.map((member) => memberMessage(chunk, member));
    const everyone = messages.map((_, place) => place);
    const connector = deps.connectors.get(chunk.connector);
    const account = await deps.account(chunk.accountId);
    const template = await deps.currentTemplate(chunk.tenantId, chunk.template);
    const [first] = messages;
    // A recipient's own stop is looked at before the call.
    const verdict = first && deps.stopOf({ ...first, recipientHash: '' });
    if (verdict?.verdict === 'blind') throw new Error(verdict.detail);
    if (verdict?.verdict === 'recalled') {
      // Now, rather than when its turn at the account comes: that is for those who are still wanted.
      const end = { status: verdict.verdict, reason: { code: recalled, detail: verdict.detail } };
      return {
        open: [],
        alone: [],
        ended: everyone.map((place) => ({ place, ...end })),
        attemptTimeoutMs: 0,
      };
    }
    const mayBatch =
      connector?.capabilities.batch?.content === 'any' &&
      chunk.messageKind !== 'otp' &&
      (account?.ratePerSecond ?? 0) >= leastChunkRate &&
      // A pause holds each in a run of its own.
      verdict?.verdict !== 'paused';
    if (connector === undefined || template === undefined || !mayBatch)
      return { open: [], ended: [], alone: everyone.map(asNew), attemptTimeoutMs: 0 };

    const lists = forAll(deps, chunk);
    const permit = createPermit(lists);
    const languageOf = createLanguageOf(lists);
    const languages: (UsedLocale | undefined)[] = Array.from(messages, () => undefined);
    const seen = new Set<string>();
    const results = await Promise.all(
      messages.map(async (message, place): Promise<'open' | 'alone' | MemberEnd> => {
        const request = await endIfExpired(() => deps.openRequest(message));
        if ('code' in request) return { place, status: 'failed', reason: request };
        const { to, variables } = request;
        const isDirect =
          addressOf(to).kind !== 'userId' && connector.addressKinds.includes(addressOf(to).kind);
        // No address is twice in a call.
        if (!isDirect || seen.has(message.recipientHash)) return 'alone';
        seen.add(message.recipientHash);
        const language = await languageOf(message, { template, to });
        languages[place] = language;
        const rendered = renderContent(template, chunk.connector, {
          variables,
          locale: language?.locale,
        });
        if (rendered.result === 'template-error')
          return {
            place,
            status: 'failed',
            reason: { code: 'template-invalid', detail: rendered.detail },
          };
        const allowed = await permit(message, to);
        if (allowed.next === 'go') return 'open';
        return allowed.next === 'hold'
          ? 'alone'
          : { place, status: allowed.status, reason: allowed.reason };
      }),
    );
    const placesOf = (what: 'open' | 'alone') =>
      everyone.filter((place) => results[place] === what);
    const { callTimeoutMs, canReconcile } = connector.capabilities;
    return {
      open: placesOf('open'),
      alone: placesOf('alone').map(asNew),
      ended: results.filter((result) => typeof result === 'object'),
      templateVersion: template.version,
      ...(languages.some((one) => one !== undefined) && { languages: toChunkLanguages(languages) }),
      attemptTimeoutMs: callTimeoutMs * (canReconcile ? 3 : 1) + attemptMarginMs,
    };
  };
}

const asNew = (place: number): AloneMember => ({ place, attempts: 0, told: 0 });

/** The lists asked once for all members. */
function forAll(deps: RenderChunkDeps, { tenantId, channel, members }: ChunkMessage): PermitDeps {
  const hashes = members.map(({ recipientHash }) => recipientHash);
  const suppressions = once(() => deps.permits.suppressionsOf(tenantId, hashes));
  const optedOut = once(() => deps.optedOut({ tenantId, channel }, hashes));
  const policy = once(() => deps.permits.policy(tenantId));
  let consents: ReturnType<PermitDeps['consentsOf']> | undefined;
  return {
    ...deps.permits,
    policy,
    suppressionsOf: async (_tenantId, of) =>
      (await suppressions()).filter(({ recipientHash }) => of.includes(recipientHash)),
    // One tenant, kind and channel.
    consentsOf: (place) => (consents ??= deps.permits.consentsOf(place, hashes)),
    isOptedOut: async ({ recipientHash }) => (await optedOut()).has(recipientHash),
  };
}

function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return () => (asked ??= ask());
}
