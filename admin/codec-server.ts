/**
 * The codec server that the Temporal UI and CLI ask to show payloads in clear
 * (https://docs.temporal.io/production-deployment/data-encryption). It holds the keys: treat it so. Who is shown content is
 * in the audit log before they see it.
 */
import { randomUUID } from 'node:crypto';
import express, { type Request, type RequestHandler } from 'express';
import { Type } from 'typebox';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { problem, Problem, problems } from '../contracts/problems.ts';
import type { Logger } from '../platform/logger.ts';
import { createValidator } from '../platform/validate.ts';
import type { Store } from '../store/index.ts';
import type { Administrator } from './deps.ts';
import { homeOf, permitRole } from './permit.ts';

export interface CodecServerOptions {
  readonly codec: PayloadCodec;
  /** The Temporal UI's origin: the only one that browsers may call from. */
  readonly uiOrigin: string;
  /** token: a bearer token is needed, as at the API; local: callers on this machine need none. */
  readonly access: 'token' | 'local';
  /** Errors: unauthorized, store-unavailable. */
  readonly authenticate: (
    headers: Readonly<Record<string, string | undefined>>,
  ) => Promise<Administrator>;
  readonly store: Pick<Store, 'audit'>;
  readonly logger: Logger;
}

const PayloadsSchema = Type.Object({
  payloads: Type.Array(
    Type.Object({
      metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
      data: Type.Optional(Type.String()),
    }),
    { maxItems: 1000 },
  ),
});
const validator = createValidator(PayloadsSchema);
const maxBodyBytes = 8 * 1024 * 1024;
/** As the table of permissions and the audit log name them. */
export const codecOperations = { decode: 'decodePayloads', encode: 'encodePayloads' } as const;
type Direction = keyof typeof codecOperations;

/** Serves POST /decode and POST /encode; mount it under a path. */
export function createCodecServer(options: CodecServerOptions): RequestHandler {
  const router = express.Router();
  router.use((request, response, next) => {
    response.set({
      'access-control-allow-origin': options.uiOrigin,
      'access-control-allow-headers': 'authorization, content-type, x-namespace',
      'access-control-allow-methods': 'POST',
      'access-control-allow-credentials': 'true',
      vary: 'origin',
    });
    if (request.method === 'OPTIONS') response.status(204).end();
    else next();
  });
  for (const direction of ['decode', 'encode'] as const)
    router.post(
      `/${direction}`,
      async (request, response, next) => {
        try {
          response.locals['caller'] = await callerOf(options, direction, request);
          next();
        } catch (error) {
          const { status, message } = wordsOf(options.logger, error);
          response.status(status).json({ message });
        }
      },
      express.json({ limit: maxBodyBytes }),
      async (request, response) => {
        const body: unknown = request.body;
        if (!validator.check(body)) {
          response
            .status(400)
            .json({ message: 'send { payloads: [{ metadata, data }] } in base64' });
          return;
        }
        const caller = response.locals['caller'] as Administrator | undefined;
        const given = body.payloads.map(fromJson);
        const convert = () => options.codec[direction](given);
        try {
          const payloads =
            direction === 'decode' && given.length > 0
              ? await recordShown(options, { caller, count: given.length, show: convert })
              : await convert();
          response.json({ payloads: payloads.map(toJson) });
        } catch (error) {
          const { status, message } = wordsOf(options.logger, error);
          response.status(status).json({ message });
        }
      },
    );
  return router;
}

/** Who asks; undefined: somebody on this machine. Errors: unauthorized, store-unavailable, forbidden, which is written down. */
async function callerOf(
  { access, authenticate, store }: CodecServerOptions,
  direction: Direction,
  request: Request,
): Promise<Administrator | undefined> {
  if (access === 'local') {
    const remote = request.socket.remoteAddress ?? '';
    if (['127.0.0.1', '::1', '::ffff:127.0.0.1'].includes(remote)) return undefined;
    throw problem('unauthorized', { detail: 'Only callers on this machine are served.' });
  }
  const caller = await authenticate({ authorization: request.get('authorization') });
  const operationId = codecOperations[direction];
  try {
    permitRole({ operationId }, caller);
  } catch (error) {
    const id = await store.audit.begin(intentOf(operationId, caller));
    await store.audit.end(id, { status: problems.forbidden.status, problem: 'forbidden' });
    throw error;
  }
  return caller;
}

/** Shows content between two marks in the log; what cannot be written down is not shown. */
async function recordShown(
  { store, logger }: CodecServerOptions,
  {
    caller,
    count,
    show,
  }: {
    readonly caller: Administrator | undefined;
    readonly count: number;
    readonly show: () => Promise<Payload[]>;
  },
): Promise<Payload[]> {
  const id = await store.audit.begin(intentOf(codecOperations.decode, caller));
  const settle = (status: number) =>
    store.audit
      .end(id, { status, after: { payloads: count } })
      .catch((error: unknown) => logger.error({ error, auditId: id }, 'audit.end-not-written'));
  try {
    const payloads = await show();
    await settle(200);
    return payloads;
  } catch (error) {
    await settle(400);
    throw error;
  }
}

function intentOf(operationId: string, caller: Administrator | undefined) {
  const tenantId = homeOf(caller);
  return {
    operationId,
    requestId: randomUUID(),
    ...(caller !== undefined && { actor: { id: caller.id, name: caller.name } }),
    ...(tenantId !== undefined && { tenantId }),
  };
}

/** What the UI and CLI are told. */
function wordsOf(logger: Logger, error: unknown): { status: number; message: string } {
  if (error instanceof Problem)
    return { status: problems[error.code].status, message: error.message };
  logger.warn({ error }, 'codec.refused');
  return {
    status: 400,
    message: 'a payload cannot be opened with the keys of this installation',
  };
}

function fromJson(payload: { metadata?: Record<string, string>; data?: string }): Payload {
  return {
    metadata: Object.fromEntries(
      Object.entries(payload.metadata ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64'),
      ]),
    ),
    data: Buffer.from(payload.data ?? '', 'base64'),
  };
}

function toJson(payload: Payload): { metadata: Record<string, string>; data: string } {
  return {
    metadata: Object.fromEntries(
      Object.entries(payload.metadata ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value).toString('base64'),
      ]),
    ),
    data: Buffer.from(payload.data ?? []).toString('base64'),
  };
}
