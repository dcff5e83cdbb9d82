/** Stage 6 of a chunk: publishes how its members ended. At least once, always under the same ids. */
import type { MemberEnd, ReportChunkInput } from '../contracts/chunk-activities.ts';
import { memberMessage } from '../contracts/chunk.ts';
import type { Connector } from '../contracts/channel.ts';
import type { UsedLocale } from '../contracts/locale.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import { sequences, type Snapshot } from '../contracts/result.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import { triedAfter } from '../contracts/tried.ts';
import type { Template } from '../contracts/template.ts';
import { renderContent } from '../templates/index.ts';
import { languageAt } from './chunk-languages.ts';
import { endIfExpired, type OpenRequest } from './sealed-request.ts';

export interface ReportChunkDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly templateVersion: (
    tenantId: string,
    name: string,
    version: number,
  ) => Promise<Template | undefined>;
  readonly openRequest: OpenRequest;
  /** Publishes one snapshot. Errors: the broker did not take it. */
  readonly report: (snapshot: Snapshot) => Promise<void>;
}

/** Makes the activity. Errors: the broker did not take all of it; the worker calls again. */
export function createReportChunk(deps: ReportChunkDeps) {
  return async function reportChunk(input: ReportChunkInput): Promise<void> {
    const { chunk, ended, tried = {}, templateVersion, languages, updatedAt } = input;
    const template =
      templateVersion === undefined
        ? undefined
        : await deps.templateVersion(chunk.tenantId, chunk.template, templateVersion);
    const memberSnapshots = async ({
      place,
      attempts = 0,
      ...end
    }: MemberEnd): Promise<Snapshot[]> => {
      const member = chunk.members[place];
      if (member === undefined) return [];
      const message = memberMessage(chunk, member);
      const language = languageAt(languages, place);
      const content = await contentOf(deps, { message, template, language });
      // Spread last, as in `memberMessage`.
      return [
        {
          redrive: 0,
          sequence: sequences.end,
          updatedAt,
          attempts,
          ...snapshotBase(message),
          ...end,
          ...triedAfter(tried[place] ?? {}, end.attempt),
          ...(templateVersion !== undefined && { templateVersion }),
          ...language,
          ...(content !== undefined && { content }),
        },
      ];
    };
    const snapshots = (await Promise.all(ended.map(memberSnapshots))).flat();
    // What is published together travels together.
    await Promise.all(snapshots.map((snapshot) => deps.report(snapshot)));
  };
}

/** Rendered anew rather than carried through the run's history; only where it may be searched. */
async function contentOf(
  { connectors, openRequest }: ReportChunkDeps,
  {
    message,
    template,
    language,
  }: {
    readonly message: AcceptedMessage;
    readonly template: Template | undefined;
    readonly language: UsedLocale | undefined;
  },
): Promise<string | undefined> {
  const connector = connectors.get(message.connector);
  if (connector === undefined || template?.isSearchable !== true) return undefined;
  const request = await endIfExpired(() => openRequest(message));
  if ('code' in request) return undefined;
  const rendered = renderContent(template, message.connector, {
    variables: request.variables,
    locale: language?.locale,
  });
  return rendered.result === 'content' ? connector.contentText(rendered.content) : undefined;
}
