/**
 * The codec server that the Temporal UI and CLI ask to show payloads in clear
 * (https://docs.temporal.io/production-deployment/data-encryption). It holds the keys: treat it so.
 */
import { timingSafeEqual, createHash } from 'node:crypto';
import express, { type RequestHandler } from 'express';
import { Type } from 'typebox';
import type { Payload, PayloadCodec } from '@temporalio/common';
import type { Logger } from '../platform/logger.ts';
import { createValidator } from '../platform/validate.ts';

export interface CodecServerOptions {
  readonly codec: PayloadCodec;
  /** The Temporal UI's origin: the only one that browsers may call from. */
  readonly uiOrigin: string;
  /** token: the administrator's bearer token is needed; local: callers on this machine need none. */
  readonly access: 'token' | 'local';
  readonly adminToken: string;
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
    if (request.method === 'OPTIONS') {
      response.status(204).end();
      return;
    }
    if (!mayAsk(options, request.get('authorization'), request.socket.remoteAddress)) {
      response.status(401).json({ message: 'the administrator\u2019s bearer token is needed' });
      return;
    }
    next();
  });
  router.use(express.json({ limit: maxBodyBytes }));
  for (const direction of ['decode', 'encode'] as const)
    router.post(`/${direction}`, async (request, response) => {
      const body: unknown = request.body;
      if (!validator.check(body)) {
        response.status(400).json({ message: 'send { payloads: [{ metadata, data }] } in base64' });
        return;
      }
      try {
        const payloads = await options.codec[direction](body.payloads.map(fromJson));
        response.json({ payloads: payloads.map(toJson) });
      } catch (error) {
        options.logger.warn({ error, direction }, 'codec.refused');
        response
          .status(400)
          .json({ message: 'a payload cannot be opened with the keys of this installation' });
      }
    });
  return router;
}

function mayAsk(
  options: CodecServerOptions,
  authorization: string | undefined,
  remote: string | undefined,
): boolean {
  if (options.access === 'local')
    return remote === '127.0.0.1' || remote === '::1' || remote === '::ffff:127.0.0.1';
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(authorization ?? ''), digest(`Bearer ${options.adminToken}`));
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
