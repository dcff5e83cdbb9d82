/** `GET /v1/messages/export`: everything that matches, as a stream: one page at a time, no faster than the client reads. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Client } from '@elastic/elasticsearch';
import { stringify } from 'csv-stringify/sync';
import { Type } from 'typebox';
import { problem } from '../contracts/problems.ts';
import {
  publicMessage,
  PublicMessageSchema,
  type PublicMessage,
} from '../contracts/public-message.ts';
import { SnapshotSchema, type Snapshot } from '../contracts/result.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';
import { route, type Route } from '../platform/http.ts';
import { createValidator } from '../platform/validate.ts';
import { messageQuery, type MessageFilter } from '../store/message-index.ts';
import { tenantQuery, type SearchDeps } from './audience.ts';
import { filterQuery, queryFault, toFilter } from './filter.ts';

const mostMessages = 1_000_000;
const pageSize = 1000;
/** Exports of one process at a time; each holds a page in memory and a point in time open in the index. */
const mostAtOnce = 4;
const keepAlive = '1m';
/** A client that takes nothing for so long has left. */
const stallMs = 30_000;

const formats = ['ndjson', 'csv'] as const;
type Format = (typeof formats)[number];
const contentTypes = {
  ndjson: 'application/x-ndjson; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
} as const satisfies Record<Format, string>;

const columns = Object.keys(PublicMessageSchema.properties).flatMap((name) =>
  name === 'reason' ? ['reason', 'reasonDetail'] : [name],
);
const snapshotValidator = createValidator(SnapshotSchema);

/** The route. */
export function exportRoute<Caller>(deps: SearchDeps<Caller>): Route<Caller> {
  const { mostExported = mostMessages } = deps;
  const QuerySchema = Type.Object(
    {
      ...tenantQuery(deps.audience),
      ...filterQuery,
      format: Type.Optional(
        Type.Enum([...formats], {
          description:
            'ndjson (default): a message as in the search, each on a line. csv: a line of names, then a line each; metadata as JSON; a cell that a spreadsheet would take for a formula begins with an apostrophe.',
        }),
      ),
    },
    { additionalProperties: false },
  );
  let underWay = 0;
  return route<Caller, never, typeof QuerySchema>({
    method: 'get',
    path: '/v1/messages/export',
    operationId: 'exportMessages',
    summary: 'All messages that match, as a file',
    description: `At most ${mostMessages.toLocaleString('en')} messages, oldest first, as they were when it began: more than that is refused before anything is sent. The header x-total-count says how many are to come; an answer that breaks off without its end is incomplete.`,
    tag: 'messages',
    query: QuerySchema,
    responses: { 200: { description: 'application/x-ndjson or text/csv.' } },
    problems: ['rate-limited', 'search-unavailable'],
    handle: async (input) => {
      const { format = 'ndjson', ...query } = input.query;
      const filter = toFilter(query, await deps.tenantOf(input), deps.hashRecipient);
      if (underWay >= mostAtOnce)
        throw problem('rate-limited', {
          detail: `${mostAtOnce} exports are under way here; ask again when one has ended.`,
          retryAfterSeconds: 10,
        });
      underWay += 1;
      let pages: Pages;
      try {
        pages = await openPages(deps, filter);
      } catch (error) {
        underWay -= 1;
        throw error;
      }
      const end = async () => {
        underWay -= 1;
        await pages.close();
      };
      if (pages.total > mostExported) {
        await end();
        throw queryFault(
          'from',
          `must be later, or the rest narrower: ${pages.total} messages match, and an export has ${mostExported} at most`,
        );
      }
      return {
        status: 200,
        headers: {
          'content-type': contentTypes[format],
          'content-disposition': `attachment; filename="messages.${format}"`,
          'x-total-count': String(pages.total),
        },
        stream: (response) =>
          void writePages(response, { pages, format, stopped: deps.stopped })
            .catch((error: unknown) => {
              if (!response.destroyed) deps.logger.warn({ error }, 'export.broken-off');
              // Cut off, so that nobody takes a part for the whole.
              response.destroy();
            })
            .finally(end),
      };
    },
  });
}

interface Pages {
  readonly total: number;
  /** The next ones; undefined: there are no more. */
  next(signal: AbortSignal): Promise<readonly Snapshot[] | undefined>;
  close(): Promise<void>;
}

/** A point in time of the index, read page by page; the first page is there already. Errors: search-unavailable. */
async function openPages(
  { client, names, logger }: Pick<SearchDeps<unknown>, 'client' | 'names' | 'logger'>,
  filter: MessageFilter,
): Promise<Pages> {
  let { id } = await orSearchProblem(
    client.openPointInTime({ index: names.messageIndices, keep_alive: keepAlive }),
  );
  const close = () =>
    client.closePointInTime({ id }).then(
      () => undefined,
      (error: unknown) => logger.warn({ error }, 'export.point-in-time-left'),
    );
  let after: (string | number)[] | undefined;
  const read = async (signal?: AbortSignal) => {
    const found = await searchPage(client, { id, filter, after, signal });
    id = found.pit_id ?? id;
    after = found.hits.hits.at(-1)?.sort as typeof after;
    return found.hits;
  };
  try {
    const first = await read();
    let ready: (typeof first)['hits'] | undefined = first.hits;
    return {
      total: typeof first.total === 'object' ? first.total.value : (first.total ?? 0),
      next: async (signal) => {
        const hits = ready ?? (after === undefined ? [] : (await read(signal)).hits);
        ready = undefined;
        if (hits.length === 0) return undefined;
        return hits.flatMap(({ _source }) => (snapshotValidator.check(_source) ? [_source] : []));
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function searchPage(
  client: Client,
  page: {
    readonly id: string;
    readonly filter: MessageFilter;
    readonly after: (string | number)[] | undefined;
    readonly signal: AbortSignal | undefined;
  },
) {
  const { id, filter, after, signal } = page;
  return orSearchProblem(
    client.search(
      {
        pit: { id, keep_alive: keepAlive },
        query: messageQuery(filter),
        sort: [{ acceptedAt: 'asc' }, { messageId: 'asc' }],
        size: pageSize,
        track_total_hits: after === undefined,
        ...(after !== undefined && { search_after: after }),
      },
      signal === undefined ? {} : { signal },
    ),
  );
}

/** Errors: the index does not answer, the client has left or takes nothing, the process stops. */
async function writePages(
  response: ServerResponse,
  { pages, format, stopped }: { pages: Pages; format: Format; stopped: AbortSignal },
): Promise<void> {
  const left = new AbortController();
  response.once('close', () => left.abort());
  const signal = AbortSignal.any([left.signal, stopped]);
  if (format === 'csv') response.write(`${columns.join(',')}\n`);
  for (;;) {
    signal.throwIfAborted();
    const messages = (await pages.next(signal))?.map(publicMessage);
    if (messages === undefined) break;
    if (!response.write(format === 'csv' ? toCsv(messages) : toNdjson(messages)))
      await once(response, 'drain', {
        signal: AbortSignal.any([signal, AbortSignal.timeout(stallMs)]),
      });
  }
  response.end();
}

const toNdjson = (messages: readonly PublicMessage[]) =>
  messages.map((message) => `${JSON.stringify(message)}\n`).join('');

function toCsv(messages: readonly PublicMessage[]): string {
  const rows = messages.map(({ reason, metadata, ...message }) => ({
    ...message,
    reason: reason?.code,
    reasonDetail: reason?.detail,
    metadata: JSON.stringify(metadata),
  }));
  return stringify(rows, { columns, escape_formulas: true });
}
