/** Ingest's routes: what services and providers call. The OpenAPI document is made from this table. */
import { Type } from 'typebox';
import {
  maxBatchItems,
  maxMessageBytes,
  PostMessageSchema,
  type AcceptedMessage,
  type PostMessage,
} from '../contracts/message.ts';
import { Problem, problem, problems, type FieldFault } from '../contracts/problems.ts';
import { AttemptSchema } from '../contracts/result.ts';
import { route, type Reply, type Route, type RouteInput } from '../platform/http.ts';
import { createOpenapi } from '../platform/openapi.ts';
import { createValidator } from '../platform/validate.ts';
import type { BatchItem } from './accept-batch.ts';
import type { AcceptRequest } from './accept-message.ts';
import type { MessageStatus } from './get-message-status.ts';
import { readIdempotencyKey } from './idempotency-key.ts';
import type { InboxCaller } from './inbox/authenticate.ts';
import { PublicMessageSchema } from '../contracts/public-message.ts';
import type { ReceiptRequest } from '../contracts/channel.ts';

export interface Caller extends InboxCaller {
  /** Of the API key; a person with a user token has none. */
  readonly keyId?: string;
}

/** What the routes do; main.ts wires it. */
export interface IngestActions {
  readonly accept: (request: AcceptRequest) => Promise<AcceptedMessage>;
  /** Headers that tell a tenant what is left of its quotas. */
  readonly quotaHeaders: (tenantId: string) => Promise<Readonly<Record<string, string>>>;
  readonly acceptBatch: (
    common: Omit<AcceptRequest, 'post'>,
    items: readonly BatchItem[],
  ) => Promise<readonly (AcceptedMessage | Problem)[]>;
  readonly status: (request: { tenantId: string; messageId: string }) => Promise<MessageStatus>;
  readonly receipt: (
    connector: string,
    accountId: string,
    request: ReceiptRequest,
  ) => Promise<Reply>;
  /** Routes that bring their own file: search, devices, the inbox. */
  readonly others: readonly Route<Caller>[];
}

const AcceptedSchema = Type.Object({
  id: Type.String({ description: 'The message id: ask for its status with it.' }),
  status: Type.Literal('accepted'),
  acceptedAt: Type.String({ format: 'date-time' }),
  expiresAt: Type.String({ format: 'date-time' }),
  channel: Type.String(),
  priority: Type.String(),
});
const StatusSchema = Type.Object({
  ...Type.Partial(PublicMessageSchema).properties,
  id: Type.String(),
  status: PublicMessageSchema.properties.status,
  timeline: Type.Array(AttemptSchema, { description: 'Attempts so far, oldest first.' }),
});
const BatchSchema = Type.Object(
  {
    messages: Type.Array(Type.Unknown(), {
      minItems: 1,
      maxItems: maxBatchItems,
      description: `Up to ${maxBatchItems} messages, each as in POST /v1/messages. A bad one does not sink the others.`,
    }),
  },
  { additionalProperties: false },
);
const BatchResultSchema = Type.Object({
  accepted: Type.Integer(),
  rejected: Type.Integer(),
  results: Type.Array(
    Type.Object({
      index: Type.Integer(),
      status: Type.Integer({
        description: '202, or the status this message alone would have been answered with.',
      }),
      id: Type.Optional(Type.String()),
      problem: Type.Optional(
        Type.Object({}, { description: 'Problem details, as for a single message.' }),
      ),
    }),
  ),
});

const keyHeader = {
  'Idempotency-Key':
    'Up to 255 printable ASCII characters. A repeat with the same key within 7 days is the same message and is delivered once.',
};
const acceptProblems = [
  'idempotency-key-invalid',
  'template-not-found',
  'variables-invalid',
  'channel-unavailable',
  'recipient-unsuitable',
  'too-many-scheduled',
  'quota-exceeded',
  'broker-unavailable',
] as const;

const messageValidator = createValidator(PostMessageSchema);

/** The route table of ingest. */
export function ingestRoutes(actions: IngestActions): Route<Caller>[] {
  return [
    route<Caller, typeof PostMessageSchema>({
      method: 'post',
      path: '/v1/messages',
      operationId: 'postMessage',
      summary: 'Send a message',
      description:
        'Answers 202 once the message is stored on disk by the queue; from then on it is delivered, or its end is told. `RateLimit-Policy` and `RateLimit` tell what is left of the quotas, where there are any.',
      tag: 'messages',
      body: PostMessageSchema,
      maxBodyBytes: maxMessageBytes,
      headers: keyHeader,
      responses: { 202: { description: 'Stored; delivery follows.', schema: AcceptedSchema } },
      problems: acceptProblems,
      handle: async (input) => {
        const message = await actions.accept({ ...common(input), post: input.body });
        return {
          status: 202,
          body: publicAccepted(message),
          headers: {
            location: `/v1/messages/${message.id}`,
            ...(await actions.quotaHeaders(input.caller.tenantId)),
          },
        };
      },
    }),
    route<Caller, typeof BatchSchema>({
      method: 'post',
      path: '/v1/messages/batch',
      operationId: 'postMessages',
      summary: 'Send up to 1,000 messages',
      description:
        'A result for each message in order. 202 when at least one was accepted; when none was, 503 when the queue took none, 429 when a quota is used up, else 422.',
      tag: 'messages',
      body: BatchSchema,
      maxBodyBytes: 16 * 1024 * 1024,
      headers: keyHeader,
      responses: {
        202: { description: 'A result for each message.', schema: BatchResultSchema },
        422: { description: 'None was accepted', schema: BatchResultSchema },
        503: { description: 'The queue took none', schema: BatchResultSchema },
      },
      problems: acceptProblems,
      handle: async (input) => acceptBatch(actions, input),
    }),
    ...actions.others,
    route<Caller>({
      method: 'get',
      path: '/v1/messages/:id',
      operationId: 'getMessage',
      summary: 'Where is this message?',
      description:
        'Right from the moment of the 202: from the search index, or from the delivery run while the index is behind.',
      tag: 'messages',
      params: { id: 'Message id' },
      responses: { 200: { description: 'Status and timeline.', schema: StatusSchema } },
      problems: ['message-not-found', 'search-unavailable'],
      handle: async ({ params, caller }) => ({
        status: 200,
        body: await actions.status({ tenantId: caller.tenantId, messageId: params['id'] ?? '' }),
      }),
    }),
    ...(['get', 'post'] as const).map((method) =>
      route<Caller>({
        method,
        path: '/v1/receipts/:connector/:account',
        operationId: method === 'get' ? 'checkReceiptAddress' : 'postReceipts',
        summary:
          method === 'get'
            ? 'A provider checks its receipt address'
            : 'A provider reports deliveries',
        description:
          'For providers. The call is verified as the connector says, and acknowledged once it is stored.',
        tag: 'receipts',
        auth: 'none',
        bodyKind: 'raw',
        query: Type.Record(Type.String(), Type.String()),
        params: { connector: 'Connector, such as sms-aliyun', account: 'Channel account id' },
        responses: { 200: { description: 'What the provider expects.' } },
        problems: [
          'not-found',
          'forbidden',
          'malformed-request',
          'body-too-large',
          'too-busy',
          'broker-unavailable',
        ],
        handle: async ({ params, query, headers, rawBody, method: verb }) =>
          actions.receipt(params['connector'] ?? '', params['account'] ?? '', {
            method: verb,
            query: query as Record<string, string>,
            headers,
            body: rawBody,
          }),
      }),
    ),
  ];
}

function common(input: RouteInput<unknown, unknown, Caller>): Omit<AcceptRequest, 'post'> {
  const idempotencyKey = readIdempotencyKey(input.headers['idempotency-key']);
  const traceparent = input.headers['traceparent'];
  return {
    tenantId: input.caller.tenantId,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
    ...(traceparent !== undefined &&
      /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent) && { traceparent }),
  };
}

function publicAccepted({ id, acceptedAt, expiresAt, channel, priority }: AcceptedMessage) {
  return { id, status: 'accepted', acceptedAt, expiresAt, channel, priority };
}

async function acceptBatch(
  actions: IngestActions,
  input: RouteInput<{ messages: unknown[] }, unknown, Caller>,
): Promise<Reply> {
  const items = input.body.messages.map((value): BatchItem => {
    const faults = faultsOf(value);
    const bytes = Buffer.byteLength(JSON.stringify(value));
    if (faults.length === 0) return { post: value as PostMessage, bytes };
    const detail = `${faults[0]?.pointer} ${faults[0]?.detail}`;
    return { post: problem('validation-failed', { detail, errors: faults }), bytes };
  });
  const outcomes = await actions.acceptBatch(common(input), items);
  const results = outcomes.map((outcome, index) =>
    outcome instanceof Problem
      ? {
          index,
          status: problems[outcome.code].status,
          problem: {
            type: `urn:message-center:problem:${outcome.code}`,
            title: problems[outcome.code].title,
            status: problems[outcome.code].status,
            detail: outcome.message,
            // Pointers lead into the batch's body, so that the caller finds the very field.
            errors: (outcome.options.errors ?? []).map((fault) => ({
              ...fault,
              pointer: `/messages/${index}${fault.pointer}`,
            })),
            ...(outcome.options.stored !== undefined && { stored: outcome.options.stored }),
            ...(outcome.options.violatedPolicies !== undefined && {
              'violated-policies': outcome.options.violatedPolicies,
            }),
          },
        }
      : { index, status: 202, id: outcome.id },
  );
  const accepted = results.filter((result) => result.status === 202).length;
  const isUnavailable = accepted === 0 && results.some((result) => result.status === 503);
  const quotaWaits = outcomes.flatMap((outcome) =>
    outcome instanceof Problem && outcome.code === 'quota-exceeded'
      ? [Math.ceil(outcome.options.retryAfterSeconds ?? 1)]
      : [],
  );
  const refused = isUnavailable ? 503 : quotaWaits.length > 0 ? 429 : 422;
  return {
    status: accepted > 0 ? 202 : refused,
    body: { accepted, rejected: results.length - accepted, results },
    headers: {
      ...(await actions.quotaHeaders(input.caller.tenantId)),
      ...(quotaWaits.length > 0 && { 'retry-after': String(Math.min(...quotaWaits)) }),
      ...(isUnavailable && { 'retry-after': '2' }),
    },
  };
}

function faultsOf(value: unknown): FieldFault[] {
  const faults = messageValidator.faults(value);
  if (faults.length > 0) return faults;
  const bytes = Buffer.byteLength(JSON.stringify(value));
  return bytes > maxMessageBytes
    ? [{ pointer: '', detail: `has ${bytes} bytes; a message may have ${maxMessageBytes}` }]
    : [];
}

/** The OpenAPI document of ingest; needs no server. */
export function ingestOpenapi(others: readonly Route<Caller>[]): Record<string, unknown> {
  const none = () => Promise.reject(new Error('only the document is made'));
  const routes = ingestRoutes({
    accept: none,
    quotaHeaders: none,
    acceptBatch: none,
    status: none,
    receipt: none,
    others,
  });
  return createOpenapi(
    {
      title: 'Message Center',
      description:
        'Send messages to people through one place, and know at any time where each one is.',
      version: '1',
      keyDescription:
        'API key of a service: `mck_…`; for a person at their own inbox, a user token: `mcu_…`.',
    },
    routes,
  );
}
