/** What the simulated Huawei Push Kit checks: the JWT of every call, and a notification field by field as documented. */
import { constants, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import type { ServedReply } from '../sandbox/provider.ts';
import { categories } from './message.ts';

export interface KnownAccount {
  readonly subAccount: string;
  /** PEM. */
  readonly publicKey: string;
}

const audience = 'https://oauth-login.cloud.huawei.com/oauth2/v3/token';
const longestLifeSeconds = 86_400;
const clockSkewSeconds = 300;

const HeaderSchema = Type.Object({
  alg: Type.Literal('PS256'),
  typ: Type.Literal('JWT'),
  kid: Type.String(),
});
const ClaimsSchema = Type.Object({
  iss: Type.String(),
  aud: Type.Literal(audience),
  iat: Type.Integer(),
  exp: Type.Integer(),
});

const decode = (part: string) => parseJson(Buffer.from(part, 'base64url').toString('utf8'));

/** Every call is checked: reading the PEM each time would cost more than the signature. */
const keys = new Map<string, KeyObject>();
function keyOf(pem: string): KeyObject {
  const key = keys.get(pem) ?? createPublicKey(pem);
  keys.set(pem, key);
  return key;
}

/** Why a bearer token is refused, or undefined. `accounts`: by key id. */
export function jwtFault(
  jwt: string,
  accounts: Readonly<Record<string, KnownAccount>>,
  nowMs: number,
): ServedReply | undefined {
  const [head = '', payload = '', signature = '', ...rest] = jwt.split('.');
  const header = decode(head);
  const claims = decode(payload);
  if (rest.length > 0 || !Check(HeaderSchema, header) || !Check(ClaimsSchema, claims))
    return notAuthentic();
  const account = accounts[header.kid];
  if (account === undefined || account.subAccount !== claims.iss) return notAuthentic();
  const isSigned = verify(
    'sha256',
    Buffer.from(`${head}.${payload}`),
    {
      key: keyOf(account.publicKey),
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    },
    Buffer.from(signature, 'base64url'),
  );
  const now = nowMs / 1000;
  if (!isSigned || claims.iat > now + clockSkewSeconds) return notAuthentic();
  if (claims.exp <= now) return expired();
  if (claims.exp - claims.iat > longestLifeSeconds)
    return refuse(400, '80300036', 'JWT expire period over threshold.');
  return undefined;
}

export const notAuthentic = () => refuse(401, '80200001', 'Authentication Error.');
export const expired = () => refuse(401, '80200005', 'Jwt token expired.');

const closed = { additionalProperties: false };
const SendSchema = Type.Object(
  {
    payload: Type.Object(
      {
        notification: Type.Object(
          {
            category: Type.Enum(categories),
            title: Type.String({ minLength: 1 }),
            body: Type.String({ minLength: 1 }),
            notifyId: Type.Optional(Type.Integer({ minimum: -1, maximum: 2 ** 31 - 1 })),
            clickAction: Type.Object(
              {
                actionType: Type.Enum([0, 1]),
                action: Type.Optional(Type.String()),
                uri: Type.Optional(Type.String()),
                data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
              },
              closed,
            ),
          },
          closed,
        ),
      },
      closed,
    ),
    target: Type.Object({ token: Type.Array(Type.String()) }, closed),
    pushOptions: Type.Optional(
      Type.Object(
        {
          testMessage: Type.Optional(Type.Boolean()),
          ttl: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_296_000 })),
          biTag: Type.Optional(Type.String()),
          receiptId: Type.Optional(Type.String()),
          collapseKey: Type.Optional(Type.Integer({ minimum: -1, maximum: 100 })),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type SendBody = Static<typeof SendSchema>;
const RevokeSchema = Type.Object(
  {
    notifyId: Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 }),
    token: Type.Array(Type.String()),
  },
  closed,
);
export type RevokeBody = Static<typeof RevokeSchema>;

const maxBodyBytes = 4096;
const maxTokens = 1000;
const maxTestTokens = 10;
const maxBiTagBytes = 64;

/** A notification that the API would take, or its refusal. */
export function readSend(text: string): SendBody | ServedReply {
  const body = parseJson(text);
  if (!Check(SendSchema, body)) return illegal(Errors(SendSchema, body));
  const { payload, target, pushOptions = {} } = body;
  const { actionType, action, uri } = payload.notification.clickAction;
  if (actionType === 1 && action === undefined && uri === undefined)
    return refuse(400, '80100003', 'Illegal payload, action and uri are both empty.');
  if (Buffer.byteLength(pushOptions.biTag ?? '') > maxBiTagBytes)
    return refuse(400, '80100001', 'The length of biTag is over 64.');
  const isTest = pushOptions.testMessage === true;
  if (isTest && target.token.length > maxTestTokens)
    return refuse(400, '80300030', 'When send test message, token count exceed limit.');
  return tokensFault(text, target.token) ?? body;
}

/** A revocation that the API would take, or its refusal. */
export function readRevoke(text: string): RevokeBody | ServedReply {
  const body = parseJson(text);
  if (!Check(RevokeSchema, body)) return illegal(Errors(RevokeSchema, body));
  return tokensFault(text, body.token) ?? body;
}

export const isReply = (read: object): read is ServedReply => 'status' in read && 'code' in read;

function tokensFault(text: string, tokens: readonly string[]): ServedReply | undefined {
  if (tokens.length < 1 || tokens.length > maxTokens)
    return refuse(400, '80300010', `token count should within 1 and ${maxTokens}.`);
  const sizeBytes = Buffer.byteLength(text) - Buffer.byteLength(JSON.stringify(tokens));
  if (sizeBytes > maxBodyBytes) return refuse(400, '80300008', 'Push message size is too long.');
  return undefined;
}

function illegal(faults: readonly { instancePath: string; message: string }[]): ServedReply {
  const [fault] = faults;
  return refuse(400, '80100003', `Illegal payload, ${fault?.instancePath} ${fault?.message}`);
}

/** An answer that is not a success. */
export function refuse(status: number, code: string, msg: string): ServedReply {
  return { status, code, body: JSON.stringify({ code, msg, requestId: String(Date.now()) }) };
}
