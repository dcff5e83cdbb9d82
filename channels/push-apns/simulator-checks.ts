/** What the simulated push server refuses, in the order in which it looks: token, topic, headers, device, payload. */
import { verify, type KeyObject } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http2';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import type { ConnectionNotes } from './simulator-listener.ts';

export interface Refused {
  readonly status: number;
  readonly reason: string;
  readonly timestamp?: number;
}

/** A push as it was understood. */
export interface CheckedPush {
  readonly device: string;
  readonly apnsId: string | undefined;
  readonly collapseId: string | undefined;
  readonly text: string;
}

export interface TokenDesk {
  /** Key ID → whose key it is. */
  readonly keys: ReadonlyMap<string, { readonly teamId: string; readonly publicKey: KeyObject }>;
  /** Tokens that were revoked. */
  readonly revoked: ReadonlySet<string>;
  /** Genuine tokens that have been seen. */
  readonly seen: Set<string>;
  readonly nowMs: number;
}

const hourMs = 3_600_000;
const tokenRestMs = 20 * 60_000;
const refuse = (status: number, reason: string): Refused => ({ status, reason });

const HeaderSchema = Type.Object({ alg: Type.Literal('ES256'), kid: Type.String() });
const ClaimsSchema = Type.Object({ iss: Type.String(), iat: Type.Integer() });

/** The provider token: signature, team and age, and not too many of them on one connection. */
export function refuseToken(
  authorization: string | undefined,
  connection: ConnectionNotes,
  desk: TokenDesk,
): Refused | undefined {
  if (authorization === undefined) return refuse(403, 'MissingProviderToken');
  const token = /^bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(authorization)?.[1];
  const issuedAtMs = token === undefined ? undefined : genuineSince(token, desk);
  if (token === undefined || issuedAtMs === undefined) return refuse(403, 'InvalidProviderToken');
  desk.seen.add(token);
  const isStale = (each: string, sinceMs: number) =>
    desk.revoked.has(each) || desk.nowMs - sinceMs > hourMs;
  if (isStale(token, issuedAtMs)) return refuse(403, 'ExpiredProviderToken');
  if (desk.nowMs < connection.blockedUntilMs) return refuse(429, 'TooManyProviderTokenUpdates');
  const held = connection.token;
  if (held !== undefined && held.text !== token && !desk.revoked.has(held.text)) {
    if (desk.nowMs - held.sinceMs < tokenRestMs) {
      connection.blockedUntilMs = held.sinceMs + tokenRestMs;
      return refuse(429, 'TooManyProviderTokenUpdates');
    }
  }
  if (held?.text !== token) connection.token = { text: token, sinceMs: desk.nowMs };
  return undefined;
}

/** When a token with a good signature of a known key was made; undefined: it is not genuine. */
function genuineSince(token: string, { keys, nowMs }: TokenDesk): number | undefined {
  const [head = '', claims = '', signature = ''] = token.split('.');
  const header = parseJson(Buffer.from(head, 'base64url').toString());
  const said = parseJson(Buffer.from(claims, 'base64url').toString());
  if (!Check(HeaderSchema, header) || !Check(ClaimsSchema, said)) return undefined;
  const owner = keys.get(header.kid);
  if (owner === undefined || owner.teamId !== said.iss) return undefined;
  const key = { key: owner.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  const isSigned = verify(
    'sha256',
    Buffer.from(`${head}.${claims}`),
    key,
    Buffer.from(signature, 'base64url'),
  );
  const issuedAtMs = said.iat * 1000;
  // A clock may be a little ahead; a token from the future is none.
  return isSigned && issuedAtMs < nowMs + 60_000 ? issuedAtMs : undefined;
}

const pushTypes = [
  'alert',
  'background',
  'voip',
  'complication',
  'fileprovider',
  'mdm',
  'location',
];
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const maxPayloadBytes = 4096;
const maxVoipBytes = 5120;

/** Hex prefix of a device token → what the provider says of it. */
export const magicTokens: Readonly<Record<string, Refused>> = {
  dead0400: refuse(400, 'BadDeviceToken'),
  dead0401: refuse(400, 'DeviceTokenNotForTopic'),
  dead0410: refuse(410, 'Unregistered'),
  dead0411: refuse(410, 'ExpiredToken'),
  dead0429: refuse(429, 'TooManyRequests'),
  dead0500: refuse(500, 'InternalServerError'),
  dead0503: refuse(503, 'ServiceUnavailable'),
};

/** Everything but the token. */
export function checkPush(
  headers: IncomingHttpHeaders,
  body: Buffer,
  known: { readonly topics: readonly string[]; readonly nowMs: number },
): CheckedPush | Refused {
  const header = (name: string) => [headers[name]].flat()[0];
  if (header(':method') !== 'POST') return refuse(405, 'MethodNotAllowed');
  const device = /^\/3\/device\/([^/?]*)$/.exec(header(':path') ?? '')?.[1];
  if (device === undefined) return refuse(404, 'BadPath');
  const fault = refuseHeaders(header, known.topics) ?? refuseDevice(device, known.nowMs);
  if (fault !== undefined) return fault;
  if (body.length === 0) return refuse(400, 'PayloadEmpty');
  const isVoip = header('apns-push-type') === 'voip';
  if (body.length > (isVoip ? maxVoipBytes : maxPayloadBytes))
    return refuse(413, 'PayloadTooLarge');
  const text = alertText(parseJson(body.toString('utf8')));
  if (text === undefined) return refuse(400, 'PayloadEmpty');
  return { device, apnsId: header('apns-id'), collapseId: header('apns-collapse-id'), text };
}

function refuseHeaders(
  header: (name: string) => string | undefined,
  topics: readonly string[],
): Refused | undefined {
  const topic = header('apns-topic');
  if (topic === undefined) return refuse(400, 'MissingTopic');
  if (!topics.includes(topic)) return refuse(400, 'TopicDisallowed');
  const type = header('apns-push-type') ?? 'alert';
  if (!pushTypes.includes(type)) return refuse(400, 'InvalidPushType');
  const priority = header('apns-priority') ?? '10';
  const priorities = type === 'background' ? ['5', '1'] : ['10', '5', '1'];
  if (!priorities.includes(priority)) return refuse(400, 'BadPriority');
  if (!/^\d{1,12}$/.test(header('apns-expiration') ?? '0')) return refuse(400, 'BadExpirationDate');
  if (!uuid.test(header('apns-id') ?? '00000000-0000-0000-0000-000000000000'))
    return refuse(400, 'BadMessageId');
  const collapseId = header('apns-collapse-id');
  if (collapseId !== undefined && (collapseId === '' || Buffer.byteLength(collapseId) > 64))
    return refuse(400, 'BadCollapseId');
  return undefined;
}

function refuseDevice(device: string, nowMs: number): Refused | undefined {
  if (device === '') return refuse(400, 'MissingDeviceToken');
  if (!/^([0-9a-f]{2}){32,100}$/i.test(device) || /^0+$/.test(device))
    return refuse(400, 'BadDeviceToken');
  const magic = magicTokens[device.slice(0, 8).toLowerCase()];
  if (magic === undefined) return undefined;
  return magic.status === 410 ? { ...magic, timestamp: Math.floor(nowMs) - hourMs } : magic;
}

const PayloadSchema = Type.Object({
  aps: Type.Object({
    alert: Type.Optional(
      Type.Union([
        Type.String(),
        Type.Object({ title: Type.Optional(Type.String()), body: Type.Optional(Type.String()) }),
      ]),
    ),
  }),
});

/** What the device shows; undefined where it is not a notification. */
function alertText(payload: unknown): string | undefined {
  if (!Check(PayloadSchema, payload)) return undefined;
  const { alert = '' } = payload.aps;
  if (typeof alert === 'string') return alert;
  return [alert.title, alert.body].filter((line) => line !== undefined).join('\n');
}
