/**
 * WeChat's pushes to the one address of an account: who speaks is checked before anything is read, and for whom after it
 * was decrypted. What they tell is read in events.ts.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { XMLParser } from 'fast-xml-parser';
import type { AccountAccess, ReceiptParse, ReceiptRequest } from '../../contracts/channel.ts';
import { parseJson } from '../kit/answers.ts';
import { isSame } from '../kit/is-same.ts';
import { decryptPush, signParts } from './crypto.ts';
import { readEvent } from './events.ts';
import type { WechatSecrets, WechatSettings } from './schemas.ts';

export interface PushCheck {
  readonly account: AccountAccess<WechatSettings, WechatSecrets>;
  /** Epoch milliseconds, for events without a time. */
  readonly now: () => number;
}

const EnvelopeSchema = Type.Object({ Encrypt: Type.String({ minLength: 1 }) });
const PushSchema = Type.Record(Type.String(), Type.Unknown());

type Refused = ReceiptParse & { readonly result: 'refused' };
const refuse = (reason: Refused['reason'], detail: string): Refused => ({
  result: 'refused',
  reason,
  detail,
});

/** Reads one push. What is none of our business is acknowledged, or WeChat would repeat it and show the person a fault. */
export function parsePush(request: ReceiptRequest, check: PushCheck): ReceiptParse {
  const token = check.account.secrets.pushToken;
  if (token === undefined)
    return refuse('signature', 'the account has no pushToken, so no push can be checked');
  if (request.method === 'GET') return answerAddressCheck(request, token);
  if (request.method !== 'POST') return refuse('malformed', 'pushes come by POST');
  const text = Buffer.from(request.body).toString('utf8');
  const opened =
    request.query['encrypt_type'] === 'aes'
      ? openSafe(request, text, check.account)
      : openPlain(request, text, check.account);
  if ('result' in opened) return opened;
  return {
    result: 'receipts',
    ...readEvent(opened.push, check.now),
    reply: { status: 200, contentType: 'text/plain', body: 'success' },
  };
}

/** WeChat asks whether the address is ours, when it is set. */
function answerAddressCheck(request: ReceiptRequest, token: string): ReceiptParse {
  const { echostr } = request.query;
  if (!isSigned(request, token)) return refuse('signature', 'the signature is not of our token');
  if (echostr === undefined) return refuse('malformed', 'there is no echostr');
  return {
    result: 'receipts',
    receipts: [],
    reply: { status: 200, contentType: 'text/plain', body: echostr },
  };
}

function isSigned({ query }: ReceiptRequest, token: string): boolean {
  const { signature = '', timestamp = '', nonce = '' } = query;
  return isSame(signature, signParts(token, timestamp, nonce));
}

type Opened = { readonly push: Readonly<Record<string, unknown>> };

function openSafe(
  request: ReceiptRequest,
  text: string,
  account: PushCheck['account'],
): Opened | Refused {
  const { pushToken = '', encodingAesKey, previousEncodingAesKey } = account.secrets;
  const { msg_signature = '', timestamp = '', nonce = '' } = request.query;
  const envelope = parseBody(text);
  if (!Check(EnvelopeSchema, envelope)) return refuse('malformed', 'there is no Encrypt');
  if (!isSame(msg_signature, signParts(pushToken, timestamp, nonce, envelope.Encrypt)))
    return refuse('signature', 'the signature is not of our token');
  const opened = [encodingAesKey, previousEncodingAesKey]
    .flatMap((key) => (key === undefined ? [] : [decryptPush(key, envelope.Encrypt)]))
    .filter((plain) => plain !== undefined);
  if (opened.length === 0) return refuse('malformed', 'it cannot be decrypted with our keys');
  const ours = opened.find(({ appId }) => appId === account.settings.appId);
  if (ours === undefined) return refuse('signature', 'it is for another AppID');
  const push = parseBody(ours.message);
  return Check(PushSchema, push)
    ? { push }
    : refuse('malformed', 'what was encrypted is neither XML nor JSON');
}

function openPlain(
  request: ReceiptRequest,
  text: string,
  account: PushCheck['account'],
): Opened | Refused {
  if (account.settings.allowPlainPushes !== true)
    return refuse('signature', 'it is not encrypted, and the account takes safe mode only');
  if (!isSigned(request, account.secrets.pushToken ?? ''))
    return refuse('signature', 'the signature is not of our token');
  const push = parseBody(text);
  return Check(PushSchema, push) ? { push } : refuse('malformed', 'it is neither XML nor JSON');
}

const xml = new XMLParser({
  ignoreAttributes: true,
  // Numbers stay text: message ids are beyond what a double holds.
  parseTagValue: false,
  processEntities: false,
});

/** A push body as an object, XML without its root; undefined where it is neither XML nor JSON. */
function parseBody(text: string): unknown {
  const trimmed = text.trim();
  // Ids that are written as numbers are made text before JSON.parse rounds them.
  if (trimmed.startsWith('{'))
    return parseJson(trimmed.replaceAll(/"MsgID"\s*:\s*(\d+)/g, '"MsgID":"$1"'));
  // The root must come first: a document type could define entities.
  if (!/^(?:<\?xml[^>]*\?>\s*)?<xml>/.test(trimmed)) return undefined;
  try {
    return (xml.parse(trimmed) as { readonly xml?: unknown }).xml;
  } catch {
    return undefined;
  }
}
