/**
 * Messages of the past rendered once more, with the version they were sent with and with another one: what would change.
 * Nothing is sent, and nothing is written.
 */
import { setImmediate } from 'node:timers/promises';
import { Type, type Static } from 'typebox';
import type { SealedRequest } from '../../contracts/message.ts';
import type { Snapshot } from '../../contracts/result.ts';
import type { TemplateEdit } from '../../contracts/template.ts';
import type { Logger } from '../../platform/logger.ts';
import {
  cursorAfter,
  type MessageFilter,
  type MessageIndex,
  type MessagePage,
} from '../../store/message-index.ts';
import { chooseLocale, diffContents, type WantedLocales } from '../../templates/index.ts';
import {
  isSameContent,
  renderAsNew,
  renderAsSent,
  type RenderedOne,
  type RenderOneDeps,
} from './render-one.ts';
import {
  DifferenceSchema,
  ReplayCountsSchema,
  Tally,
  type Difference,
  type Replayed,
} from './tally.ts';

export interface ReplayDeps extends RenderOneDeps {
  readonly index: Pick<MessageIndex, 'search' | 'requests'>;
  readonly logger: Logger;
  /** Opens what was asked. Errors: it cannot be opened any more. */
  readonly openRequest: (
    message: Pick<Snapshot, 'messageId' | 'tenantId' | 'acceptedAt'>,
    sealed: string,
  ) => Promise<SealedRequest>;
  /** One version's text, whatever became of it since; undefined: there is none. */
  readonly versionOf: (version: number) => Promise<TemplateEdit | undefined>;
}

export interface Replay {
  readonly filter: MessageFilter;
  readonly version: number;
  readonly template: TemplateEdit;
  /** Which version those are compared with that never came to be rendered. */
  readonly versionInForce: number;
  /** Most messages looked at, and most differences shown. */
  readonly limit: number;
  readonly sample: number;
  readonly cursor?: string | undefined;
  /** Whether the differences' texts are shown. */
  readonly hasTexts: boolean;
  readonly segmentPrice?: number | undefined;
  /** Looks at no more messages after this time. Default 20,000. */
  readonly withinMs?: number;
}

export const ReplayedSchema = Type.Object({
  matching: Type.Object(
    { value: Type.Integer(), relation: Type.Enum(['eq', 'gte']) },
    { description: 'All that match; counted exactly up to 10,000, more than that is gte.' },
  ),
  ...ReplayCountsSchema,
  differences: Type.Array(DifferenceSchema, { description: 'The first ones found.' }),
  nextCursor: Type.Optional(
    Type.String({ description: 'Given while there is more; pass it as `cursor`, and add up.' }),
  ),
});
export type ReplayReply = Static<typeof ReplayedSchema>;

const pageSize = 200;
const defaultWithinMs = 20_000;
/** Rendering is computation: others get their turn after so much of it. */
const turnMs = 20;
const mostDiffLength = 16_000;

/** Errors: problems validation-failed (query/cursor), search-unavailable. */
export async function replayTemplate(deps: ReplayDeps, replay: Replay): Promise<ReplayReply> {
  const { filter, limit, withinMs = defaultWithinMs } = replay;
  const endMs = performance.now() + withinMs;
  const run = new ReplayRun(deps, replay);
  let matching: MessagePage['total'] | undefined;
  let { cursor } = replay;
  do {
    const page = await deps.index.search({
      ...filter,
      limit: Math.min(pageSize, limit - run.tally.looked),
      cursor,
    });
    matching ??= page.total;
    const lookedAt = await run.lookAt(page.items, endMs);
    const last = page.items[lookedAt - 1];
    const isWhole = lookedAt === page.items.length;
    cursor = isWhole ? page.nextCursor : last === undefined ? cursor : cursorAfter(last);
  } while (cursor !== undefined && run.tally.looked < limit && performance.now() < endMs);
  return {
    matching: matching ?? { value: 0, relation: 'eq' },
    ...run.tally.counts(replay.segmentPrice),
    differences: run.differences,
    ...(cursor !== undefined && { nextCursor: cursor }),
  };
}

class ReplayRun {
  readonly tally = new Tally();
  readonly differences: Difference[] = [];
  readonly #deps: ReplayDeps;
  readonly #replay: Replay;
  readonly #versions = new Map<number, TemplateEdit | undefined>();
  #turnEndMs = 0;

  constructor(deps: ReplayDeps, replay: Replay) {
    this.#deps = deps;
    this.#replay = replay;
  }

  /** Counts messages in their order, at least one, until the time is up; says how many. */
  async lookAt(messages: readonly Snapshot[], endMs: number): Promise<number> {
    const requests = await this.#deps.index.requests(messages);
    for (const [place, snapshot] of messages.entries()) {
      await this.#giveWay();
      if (place > 0 && performance.now() >= endMs) return place;
      const request = requests[place] ?? { result: 'gone' };
      if (request.result !== 'kept' || snapshot.erasedAt !== undefined)
        this.tally.leaveOut(
          snapshot.erasedAt === undefined && request.result === 'gone' ? 'gone' : 'erased',
        );
      else await this.#replayOne(snapshot, request.sealed);
    }
    return messages.length;
  }

  async #giveWay(): Promise<void> {
    if (performance.now() < this.#turnEndMs) return;
    await setImmediate();
    this.#turnEndMs = performance.now() + turnMs;
  }

  async #replayOne(snapshot: Snapshot, sealed: string): Promise<void> {
    const { templateVersion = this.#replay.versionInForce, connector } = snapshot;
    let request: SealedRequest;
    try {
      request = await this.#deps.openRequest(snapshot, sealed);
    } catch (error) {
      this.#deps.logger.warn({ messageId: snapshot.messageId, error }, 'replay.request-unreadable');
      return this.tally.leaveOut('gone');
    }
    const { variables } = request;
    const message = { connector, variables, locale: snapshot.locale };
    const ownText = await this.#version(templateVersion);
    const own: RenderedOne =
      ownText === undefined
        ? { result: 'fails', faults: [] }
        : renderAsSent(this.#deps, ownText, message);
    const { template } = this.#replay;
    const locale = chooseLocale(template, connector, wishesOf(snapshot))?.locale;
    const other = renderAsNew(this.#deps, template, { connector, variables, locale });
    const replayed = { snapshot, own, other, isSame: isSameContent(own, other) };
    const result = this.tally.add(replayed);
    if (result !== undefined && this.differences.length < this.#replay.sample)
      this.differences.push(this.#difference(replayed, { result, ownVersion: templateVersion }));
  }

  async #version(version: number): Promise<TemplateEdit | undefined> {
    if (!this.#versions.has(version))
      this.#versions.set(version, await this.#deps.versionOf(version));
    return this.#versions.get(version);
  }

  #difference(
    { snapshot, own, other }: Replayed,
    { result, ownVersion }: Pick<Difference, 'result' | 'ownVersion'>,
  ): Difference {
    const { messageId: id, recipientMasked: to, channel, connector } = snapshot;
    const diff = this.#replay.hasTexts ? this.#diff(own, other, ownVersion) : undefined;
    return {
      id,
      to,
      channel,
      connector,
      ownVersion,
      result,
      ...(other.result === 'fails' && { problems: [...other.faults] }),
      ...(own.result === 'content' &&
        other.result === 'content' && { sizes: changedSizes(own.sizes, other.sizes) }),
      ...(diff !== undefined && { diff }),
    };
  }

  #diff(own: RenderedOne, other: RenderedOne, ownVersion: number): string | undefined {
    const contentOf = (one: RenderedOne) => (one.result === 'content' ? one.content : null);
    return diffContents(
      { label: `version ${ownVersion}`, content: contentOf(own) },
      { label: `version ${this.#replay.version}`, content: contentOf(other) },
    )?.slice(0, mostDiffLength);
  }
}

/** Who had asked for the language that it was sent in, as far as its document tells. */
function wishesOf({ wantedLocale, locale, localeFrom }: Snapshot): WantedLocales {
  return { message: wantedLocale, ...(localeFrom !== 'template' && { person: locale }) };
}

type Measured = Extract<RenderedOne, { result: 'content' }>['sizes'];

function changedSizes(own: Measured, other: Measured) {
  return Object.entries(other).flatMap(([what, { size: after }]) => {
    const before = own[what]?.size;
    return before === undefined || before === after ? [] : [{ what, before, after }];
  });
}
