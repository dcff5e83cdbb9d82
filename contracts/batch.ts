/** Batches: one template to many recipients, uploaded as a file. Carried by: ingest → MySQL → jobs; admin reads them. */
import { Type, type Static } from 'typebox';
import { PostMessageSchema, type To, type Variables } from './message.ts';

/** Most lines of recipients in a batch. */
export const mostBatchLines = 1_000_000;
/** Most bytes of an upload. */
export const mostUploadBytes = 1024 ** 3;
/** Most bytes of a line, and of a CSV record over several lines. */
export const mostLineBytes = 64 * 1024;
export const mostColumns = 200;
/** Faults that are kept for reading; all are counted. */
export const mostKeptFaults = 10_000;
/** Members that are stored, and handed over, as one. */
export const blockMembers = 100;

const { template, channel, channels, priority, expiresIn, metadata, locale } =
  PostMessageSchema.properties;
const time = (description: string) => Type.String({ format: 'date-time', description });
const count = (description: string) => Type.Integer({ minimum: 0, description });
const StartAtSchema = Type.Optional(
  time('Not before this time, at most 90 days ahead. Default: at once.'),
);

export const PostBatchSchema = Type.Object(
  {
    template,
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 100,
        description: 'For people. No personal data.',
        examples: ['Spring 2027'],
      }),
    ),
    channel,
    channels,
    priority: Type.Optional(Type.Enum([...priority.enum], { description: 'Lane; default bulk.' })),
    expiresIn: Type.Optional(
      Type.Integer({
        ...expiresIn,
        description:
          "Life of each message in seconds, from when its turn comes; default: by the template's kind.",
      }),
    ),
    startAt: StartAtSchema,
    locale: Type.Optional(
      Type.Unsafe<string>({
        ...locale,
        description: 'Language (BCP 47) of recipients whose line names none.',
      }),
    ),
    metadata,
    ratePerSecond: Type.Optional(
      Type.Number({
        minimum: 0.1,
        maximum: 10_000,
        description:
          'Pace: messages handed over in a second. Default: as fast as they can be sent.',
        examples: [50],
      }),
    ),
  },
  { additionalProperties: false },
);
export type PostBatch = Static<typeof PostBatchSchema>;

export const StartBatchSchema = Type.Object(
  {
    startAt: StartAtSchema,
    allowFaults: Type.Optional(
      Type.Boolean({
        description: 'Start without the faulty lines. Default: refused when there are any.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type StartBatch = Static<typeof StartBatchSchema>;

/** uploading, scheduled and paused are told from times and stops; the others are kept. */
export const batchStates = [
  'draft',
  'uploading',
  'ready',
  'scheduled',
  'running',
  'paused',
  'stopped',
  'done',
] as const;
export type BatchState = (typeof batchStates)[number];

export const BatchSchema = Type.Object({
  id: Type.String({ examples: ['bat_9x1c7k2m4p8q0r5t'] }),
  tenantId: Type.String(),
  ...PostBatchSchema.properties,
  state: Type.Enum([...batchStates], {
    description:
      'draft: without recipients; stopped: recalled, nothing more is sent of it; done: every message has ended.',
  }),
  total: count('Messages: good lines of the upload.'),
  faults: count('Faulty lines of the upload.'),
  published: count('Messages that the queue has; the others still wait in the batch.'),
  erased: count('Members whose person was erased before their turn: nothing is sent to them.'),
  waitingFor: Type.Optional(
    Type.String({
      description:
        'Why a running batch does not go on: somebody must act, or the quota of the day is used up.',
    }),
  ),
  createdAt: time('When it was made.'),
  updatedAt: time('When it changed last.'),
  startedAt: Type.Optional(time('When it was told to start.')),
  endedAt: Type.Optional(time('When it was done or stopped.')),
});
export type Batch = Static<typeof BatchSchema>;

/** A faulty line of an upload. */
export const BatchFaultSchema = Type.Object({
  line: Type.Integer({
    description: 'Line of the file, counted from 1; the last one of a record.',
  }),
  pointer: Type.String({ description: 'Field: /to/phone, /variables/code.' }),
  detail: Type.String(),
});
export type BatchFault = Static<typeof BatchFaultSchema>;

/** Members of a block that go as one chunk: the place of the first in the block, and how many. */
export const ChunkRangeSchema = Type.Object({
  first: Type.Integer({ minimum: 0 }),
  members: Type.Integer({ minimum: 2 }),
});
export type ChunkRange = Static<typeof ChunkRangeSchema>;

/** A good line. */
export interface BatchMember {
  readonly line: number;
  readonly to: To;
  readonly variables: Variables;
  readonly locale?: string;
}

/** What the ids of a batch's messages are derived from; no Idempotency-Key of a service can be the same. */
export function batchKey(batchId: string): string {
  return `batch ${batchId}`;
}

/** What the messages of a batch have in common with a message that is posted alone. */
export function postOf(
  { id, request }: { readonly id: string; readonly request: PostBatch },
  { to, variables, locale = request.locale }: Pick<BatchMember, 'to' | 'variables' | 'locale'>,
): Static<typeof PostMessageSchema> {
  const { template: name, channel: wanted, channels: several, expiresIn: life } = request;
  return {
    to,
    template: name,
    variables,
    ...(wanted !== undefined && { channel: wanted }),
    ...(several !== undefined && { channels: several }),
    priority: request.priority ?? 'bulk',
    ...(life !== undefined && { expiresIn: life }),
    ...(locale !== undefined && { locale }),
    batch: id,
    ...(request.metadata !== undefined && { metadata: request.metadata }),
  };
}
