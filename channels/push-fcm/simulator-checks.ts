/** What the simulated FCM checks: the grant it gives tokens for, and a message field by field as the API describes them. */
import { createPublicKey, verify } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import type { ServedReply } from '../sandbox/provider.ts';

export interface GrantRules {
  /** Client e-mail → public key (PEM). */
  readonly serviceAccounts: Readonly<Record<string, string>>;
  readonly nowMs: number;
  /** `host:port` as the caller wrote it: the audience must be this very endpoint. */
  readonly host: string;
}

const clockSkewSeconds = 300;
const longestGrantSeconds = 3600;
const scope = 'https://www.googleapis.com/auth/firebase.messaging';

const ClaimsSchema = Type.Object({
  iss: Type.String(),
  scope: Type.String(),
  aud: Type.String(),
  iat: Type.Integer(),
  exp: Type.Integer(),
});

/** Why a token is not given, or undefined. */
export function grantFault(form: URLSearchParams, rules: GrantRules): ServedReply | undefined {
  if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer')
    return refuseGrant('unsupported_grant_type', 'Invalid grant_type');
  const parts = (form.get('assertion') ?? '').split('.');
  const [head = '', payload = '', signature = ''] = parts;
  const header = decode(head);
  const claims = decode(payload);
  if (parts.length !== 3 || !Check(ClaimsSchema, claims))
    return refuseGrant('invalid_request', 'Bad Request');
  if (!Check(Type.Object({ alg: Type.Literal('RS256') }), header))
    return refuseGrant('invalid_grant', 'Invalid JWT: must be signed with RS256.');
  const pem = rules.serviceAccounts[claims.iss];
  if (pem === undefined) return refuseGrant('invalid_grant', 'Invalid grant: account not found');
  const isSigned = verify(
    'sha256',
    Buffer.from(`${head}.${payload}`),
    createPublicKey(pem),
    Buffer.from(signature, 'base64url'),
  );
  if (!isSigned) return refuseGrant('invalid_grant', 'Invalid JWT Signature.');
  const now = rules.nowMs / 1000;
  if (
    claims.iat > now + clockSkewSeconds ||
    claims.exp < now - clockSkewSeconds ||
    claims.exp - claims.iat > longestGrantSeconds
  )
    return refuseGrant(
      'invalid_grant',
      'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.',
    );
  if (!isAudience(claims.aud, rules.host))
    return refuseGrant('invalid_grant', 'Failed audience check.');
  if (!claims.scope.split(' ').includes(scope))
    return refuseGrant('invalid_scope', 'Invalid OAuth scope or ID token audience provided.');
  return undefined;
}

function isAudience(aud: string, host: string): boolean {
  const url = URL.canParse(aud) ? new URL(aud) : undefined;
  return url?.host === host && url.pathname.endsWith('/token');
}

const decode = (part: string) => parseJson(Buffer.from(part, 'base64url').toString('utf8'));

/** An error of the token endpoint (RFC 6749 5.2). */
function refuseGrant(error: string, description: string): ServedReply {
  const body = JSON.stringify({ error, error_description: description });
  return { status: 400, code: error, body };
}

const closed = { additionalProperties: false };
const Text = Type.String();
const Strings = Type.Record(Type.String(), Text);
const Notification = Type.Object(
  { title: Type.Optional(Text), body: Type.Optional(Text), image: Type.Optional(Text) },
  closed,
);
/** The part of the API's Message that can be simulated; the API refuses names it does not know. */
const RequestSchema = Type.Object(
  {
    validate_only: Type.Optional(Type.Boolean()),
    message: Type.Object(
      {
        token: Type.Optional(Text),
        topic: Type.Optional(Text),
        data: Type.Optional(Strings),
        notification: Type.Optional(Notification),
        android: Type.Optional(
          Type.Object(
            {
              collapse_key: Type.Optional(Text),
              priority: Type.Optional(Type.Enum(['NORMAL', 'HIGH'])),
              ttl: Type.Optional(Type.String({ pattern: '^[0-9]+(\\.[0-9]{1,9})?s$' })),
              data: Type.Optional(Strings),
              notification: Type.Optional(
                Type.Object(
                  {
                    title: Type.Optional(Text),
                    body: Type.Optional(Text),
                    tag: Type.Optional(Text),
                  },
                  closed,
                ),
              ),
            },
            closed,
          ),
        ),
        apns: Type.Optional(
          Type.Object(
            {
              headers: Type.Optional(Strings),
              payload: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
            },
            closed,
          ),
        ),
        fcm_options: Type.Optional(Type.Object({ analytics_label: Type.Optional(Text) }, closed)),
      },
      closed,
    ),
  },
  closed,
);
export type FcmRequest = Static<typeof RequestSchema>;
export type FcmMessage = FcmRequest['message'];

const maxPayloadBytes = 4096;
const longestTtlSeconds = 2_419_200;

/** A request that the API would read, or its refusal. */
export function readRequest(body: string): FcmRequest | ServedReply {
  const json = parseJson(body);
  if (json === undefined) return badRequest('', 'Invalid JSON payload received.');
  if (!Check(RequestSchema, json)) {
    const [fault] = Errors(RequestSchema, json);
    const field = (fault?.instancePath ?? '').slice(1).replaceAll('/', '.');
    // The API quotes the value it could not read.
    return badRequest(field, `Invalid value at '${field}' (${fault?.message}), ${body}`);
  }
  const { message } = json;
  if ((message.token === undefined) === (message.topic === undefined))
    return badRequest('message', 'Recipient of the message is not set.');
  return payloadFault(message) ?? json;
}

export const isReply = (read: FcmRequest | ServedReply): read is ServedReply => 'status' in read;

function payloadFault(message: FcmMessage): ServedReply | undefined {
  const { data = {}, android, apns } = message;
  const reserved = Object.keys(data).find((key) =>
    /^(from|gcm|message_type|google\.|gcm\.notification)/.test(key),
  );
  if (reserved !== undefined)
    return badRequest('message.data', `Invalid data payload key: ${reserved}`);
  if (android?.ttl !== undefined && Number.parseFloat(android.ttl) > longestTtlSeconds)
    return badRequest('message.android.ttl', 'Ttl is beyond the allowed range.');
  const collapseId = apns?.headers?.['apns-collapse-id'] ?? '';
  if (Buffer.byteLength(collapseId) > 64)
    return badRequest('message.apns.headers', 'apns-collapse-id is longer than 64 bytes.');
  const { notification = {} } = message;
  const sizeBytes = [data, notification, android?.data ?? {}, android?.notification ?? {}]
    .flatMap((part) => Object.entries(part).flat())
    .reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (sizeBytes > maxPayloadBytes) return badRequest('message', 'Message is too big');
  return undefined;
}

/** 400 with a google.rpc.BadRequest. */
export function badRequest(field: string, message: string): ServedReply {
  return refuse(400, 'INVALID_ARGUMENT', {
    message,
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.BadRequest',
        fieldViolations: [{ field, description: message }],
      },
    ],
  });
}

/** An FcmError, as it stands in an error's details. */
export const fcmError = (errorCode: string) => ({
  '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError',
  errorCode,
});

/** An error of the API; `status` is the google.rpc.Code, the details may name FCM's own code. */
export function refuse(
  status: number,
  rpcCode: string,
  more: {
    readonly message: string;
    readonly details?: readonly object[];
    readonly headers?: Readonly<Record<string, string>>;
  },
): ServedReply {
  const { message, details, headers } = more;
  const error = { code: status, message, status: rpcCode, ...(details && { details }) };
  return { status, code: rpcCode, body: JSON.stringify({ error }), ...(headers && { headers }) };
}
