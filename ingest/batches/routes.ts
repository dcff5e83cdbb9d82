/** Batches: one template to many recipients, by a file that is uploaded. Recall, pause and resume are in stop-batch.ts. */
import { pipeline, Readable } from 'node:stream';
import { Type } from 'typebox';
import {
  BatchFaultSchema,
  BatchSchema,
  mostLineBytes,
  mostBatchLines,
  mostUploadBytes,
  PostBatchSchema,
  StartBatchSchema,
} from '../../contracts/batch.ts';
import { problem } from '../../contracts/problems.ts';
import { statuses } from '../../contracts/status.ts';
import type { Account } from '../../contracts/template.ts';
import { route, type Route } from '../../platform/http.ts';
import type { Logger } from '../../platform/logger.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { batchListKey, type Batches } from '../../store/index.ts';
import type { BatchIndex } from '../../store/message-index.ts';
import { templateNotFound } from '../accept-message.ts';
import { readIdempotencyKey } from '../idempotency-key.ts';
import {
  checkBatch,
  checkStartAt,
  messagesOf,
  readMediaType,
  recipientTypes,
  type CheckBatchDeps,
} from './check-batch.ts';
import type { CheckLinesDeps } from './check-line.ts';
import { resultFile, resultFormats } from './results.ts';
import { uploadRecipients } from './upload-recipients.ts';

export interface BatchDeps extends CheckLinesDeps, CheckBatchDeps {
  readonly batches: Batches;
  readonly index: BatchIndex;
  readonly accountsOf: (tenantId: string) => Promise<readonly Account[]>;
  readonly logger: Logger;
  /** Of an upload, in bytes; default 1 GiB. */
  readonly mostBytes?: number;
}

const tag = 'batches';
const params = { batch: 'Id of the batch: bat_…' };
const keyHeader = {
  'Idempotency-Key':
    'Up to 255 printable ASCII characters. A repeat with the same key and body gives the batch that was made, as it is now; with another body it is refused. The key holds as long as the batch is kept.',
};
/** Each may hold the hashes of a million recipients in memory. */
const mostUploadsAtOnce = 4;

const BatchReplySchema = Type.Object({
  ...BatchSchema.properties,
  messages: Type.Optional(
    Type.Record(Type.String(), Type.Integer(), {
      description: `How many messages have which status: waiting (not handed over yet), ${statuses.join(', ')}. Up to some seconds old; missing while the search index does not answer.`,
      examples: [{ waiting: 900, sending: 20, sent: 80 }],
    }),
  ),
});
const PageQuerySchema = Type.Object(pageQuery, { additionalProperties: false });
const ResultsQuerySchema = Type.Object(
  {
    format: Type.Optional(Type.Enum([...resultFormats], { description: 'Default csv.' })),
  },
  { additionalProperties: false },
);

/** The routes. */
export function batchRoutes<Caller extends { readonly tenantId: string }>(
  deps: BatchDeps,
): Route<Caller>[] {
  const { batches, logger } = deps;
  let uploads = 0;
  const existing = async (tenantId: string, id = '') => {
    const batch = await batches.get(id, tenantId);
    if (batch === undefined)
      throw problem('not-found', { detail: `There is no batch with the id "${id}".` });
    return batch;
  };
  return [
    route<Caller, typeof PostBatchSchema>({
      method: 'post',
      path: '/v1/batches',
      operationId: 'createBatch',
      summary: 'Make a batch: one template to many recipients',
      description: 'A draft: upload its recipients, then start it.',
      tag,
      body: PostBatchSchema,
      headers: keyHeader,
      responses: { 201: { description: 'The batch.', schema: BatchSchema } },
      problems: [
        'idempotency-key-invalid',
        'idempotency-conflict',
        'template-not-found',
        'channel-unavailable',
      ],
      handle: async ({ body, headers, caller: { tenantId }, requestId }) => {
        const key = readIdempotencyKey(headers['idempotency-key']);
        // Before the check: what was asked for may be out of date by now, and is made all the same.
        const repeated =
          key === undefined ? undefined : await batches.findRepeated(tenantId, body, key);
        if (repeated === undefined) await checkBatch(deps, tenantId, body);
        const batch = repeated ?? (await batches.create(tenantId, body, key));
        const { id: batchId, template } = batch;
        logger.info({ batchId, tenantId, template, requestId }, 'batch.created');
        return { status: 201, body: batch, headers: { location: `/v1/batches/${batchId}` } };
      },
    }),
    route<Caller>({
      method: 'put',
      path: '/v1/batches/:batch/recipients',
      operationId: 'uploadRecipients',
      summary: 'Upload the recipients of a batch',
      description: `Up to ${mostBatchLines} lines of at most ${mostLineBytes} bytes. CSV has a header: columns of addresses (phone, email, userId, or to.phone) and of the template's variables (code, or variables.code); a file in GB18030 says so: text/csv; charset=gb18030. A line of NDJSON is {"to":{"phone":"…"},"variables":{…}}. Each line is checked as a message is; faulty ones and second ones to the same recipient are left out and told by /faults. All of it counts once it is answered, and takes the place of what was uploaded before; an upload that breaks changes nothing.`,
      tag,
      params,
      bodyKind: 'stream',
      bodyTypes: recipientTypes,
      maxBodyBytes: deps.mostBytes ?? mostUploadBytes,
      responses: { 200: { description: 'The batch with these recipients.', schema: BatchSchema } },
      problems: [
        'not-found',
        'batch-not-possible',
        'validation-failed',
        'template-not-found',
        'rate-limited',
      ],
      handle: async ({
        params: { batch: id },
        headers,
        bodyStream,
        caller: { tenantId },
        requestId,
      }) => {
        const { format, charset } = readMediaType(headers['content-type'] ?? '');
        const request = await existing(tenantId, id);
        const template = await deps.template(tenantId, request.template);
        if (template === undefined) throw templateNotFound(request.template);
        if (uploads >= mostUploadsAtOnce)
          throw problem('rate-limited', {
            detail: `${mostUploadsAtOnce} uploads are under way here.`,
            retryAfterSeconds: 10,
          });
        uploads += 1;
        try {
          const accounts = await deps.accountsOf(tenantId);
          const batchId = id ?? '';
          const batch = await uploadRecipients(
            deps,
            { tenantId, batchId, request, template, accounts },
            { body: bodyStream, format, charset },
          );
          const { total, faults } = batch;
          logger.info({ batchId, tenantId, total, faults, requestId }, 'batch.uploaded');
          return { status: 200, body: batch };
        } finally {
          uploads -= 1;
        }
      },
    }),
    route<Caller, never, typeof PageQuerySchema>({
      method: 'get',
      path: '/v1/batches/:batch/faults',
      operationId: 'listBatchFaults',
      summary: 'The faulty lines of an upload',
      description:
        'In the order of lines; the first 10,000 faults are kept, every faulty line is counted.',
      tag,
      params,
      query: PageQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(BatchFaultSchema) } },
      problems: ['not-found'],
      handle: async ({ params: { batch: id }, query, caller: { tenantId } }) => {
        const batch = await existing(tenantId, id);
        const page = await readPage(
          query,
          async ({ after, limit }) => {
            const from = after === undefined ? 0 : readPlace(after) + 1;
            const faults = await batches.faults(batch.id, { from, limit });
            return faults.map((fault, offset) => ({ fault, place: from + offset }));
          },
          ({ place }) => String(place),
        );
        return { status: 200, body: { ...page, items: page.items.map(({ fault }) => fault) } };
      },
    }),
    route<Caller, typeof StartBatchSchema>({
      method: 'post',
      path: '/v1/batches/:batch/start',
      operationId: 'startBatch',
      summary: 'Start a batch',
      description:
        'Now, or at startAt. From then on its recipients are fixed, and every message gets an end. A repeat changes nothing.',
      tag,
      params,
      body: StartBatchSchema,
      responses: { 200: { description: 'The batch as it is now.', schema: BatchSchema } },
      problems: ['not-found', 'batch-not-possible'],
      handle: async ({ params: { batch: id = '' }, body, caller: { tenantId }, requestId }) => {
        checkStartAt(body.startAt);
        const batch = await batches.start(tenantId, id, body);
        logger.info({ batchId: id, tenantId, state: batch.state, requestId }, 'batch.started');
        return { status: 200, body: batch };
      },
    }),
    route<Caller, never, typeof PageQuerySchema>({
      method: 'get',
      path: '/v1/batches',
      operationId: 'listBatches',
      summary: 'Batches, newest first',
      tag,
      query: PageQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(BatchSchema) } },
      problems: [],
      handle: async ({ query, caller: { tenantId } }) => ({
        status: 200,
        body: await readPage(query, (page) => batches.list({ ...page, tenantId }), batchListKey),
      }),
    }),
    route<Caller>({
      method: 'get',
      path: '/v1/batches/:batch',
      operationId: 'getBatch',
      summary: 'How far a batch has come',
      tag,
      params,
      responses: { 200: { description: 'The batch.', schema: BatchReplySchema } },
      problems: ['not-found'],
      handle: async ({ params: { batch: id }, caller: { tenantId } }) => {
        const batch = await existing(tenantId, id);
        return { status: 200, body: { ...batch, ...(await messagesOf(deps.index, batch)) } };
      },
    }),
    route<Caller, never, typeof ResultsQuerySchema>({
      method: 'get',
      path: '/v1/batches/:batch/results',
      operationId: 'getBatchResults',
      summary: 'What became of each message',
      description:
        'A file: for each good line, in their order, its line, message id, status, reason and detail. waiting: not handed over yet; what a recall kept from being handed over is recalled, without an id.',
      tag,
      params,
      query: ResultsQuerySchema,
      responses: { 200: { description: 'text/csv or application/x-ndjson.' } },
      problems: ['not-found', 'search-unavailable'],
      handle: async ({
        params: { batch: id },
        query: { format = 'csv' },
        caller: { tenantId },
      }) => {
        const rows = resultFile(deps, await existing(tenantId, id), format);
        // Read before the answer begins: a server that is away is told as a problem.
        const first = await rows.next();
        return {
          status: 200,
          headers: {
            'content-type': format === 'csv' ? 'text/csv; charset=utf-8' : 'application/x-ndjson',
            'content-disposition': `attachment; filename="${id}.${format}"`,
          },
          stream: (response) => {
            pipeline(Readable.from(withFirst(first, rows)), response, (error) => {
              if (error) logger.warn({ batchId: id, tenantId, error }, 'batch.results-broken');
            });
          },
        };
      },
    }),
  ];
}

function readPlace(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw problem('validation-failed', {
    detail: 'The cursor is not one that a page gave.',
    errors: [{ pointer: 'query/cursor', detail: 'must be the nextCursor of a page' }],
  });
}

async function* withFirst(first: IteratorResult<string>, rest: AsyncGenerator<string>) {
  if (first.done !== true) yield first.value;
  yield* rest;
}
