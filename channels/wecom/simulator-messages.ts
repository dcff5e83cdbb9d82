/** message/send and message/recall of the WeCom simulator. */
import { createHash } from 'node:crypto';
import type { FaultRule } from '../sandbox/faults.ts';
import type { ProviderBooks, SeenMessage, ServedReply, TakenMessage } from '../sandbox/provider.ts';
import { createWindows } from './simulator-limits.ts';
import {
  done,
  memberPrefixes,
  refuse,
  type Read,
  type WecomApp,
  type WecomSettings,
} from './simulator-settings.ts';

type Json = Readonly<Record<string, unknown>>;

export interface MessageDesk {
  send(app: WecomApp, raw: string, fault: FaultRule | undefined): ServedReply;
  recall(app: WecomApp, raw: string): ServedReply;
  /** What was taken and never shown, for its member had too many. */
  readonly dropped: readonly TakenMessage[];
  clear(): void;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const maxMembers = 1000;
const knownMembers = [
  'touser',
  'toparty',
  'totag',
  'msgtype',
  'agentid',
  'text',
  'markdown',
  'textcard',
  'safe',
  'enable_id_trans',
  'enable_duplicate_check',
  'duplicate_check_interval',
];

/** A JSON object, as every call but gettoken must bring it. */
export function readJson(raw: string): Read<Json> {
  if (raw === '') return { refusal: refuse(44002, 'empty post data') };
  try {
    const value = JSON.parse(raw) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return { value: value as Json };
  } catch {
    // Answered below.
  }
  return { refusal: refuse(47001, 'data format error') };
}

/** Makes the desk over the provider's books. */
export function createMessageDesk(options: {
  readonly books: Pick<ProviderBooks, 'accepted' | 'device'>;
  readonly settings: () => WecomSettings;
  readonly now: () => number;
}): MessageDesk {
  const { books, settings, now } = options;
  const toMembers = createWindows(now, hourMs);
  const persons = new Map<string, number>();
  const repeats = new Map<string, { readonly at: number; readonly reply: ServedReply }>();
  const sent = new Map<
    string,
    { readonly agentId: number; readonly at: number; readonly shown: SeenMessage[] }
  >();
  const dropped: TakenMessage[] = [];
  let serial = 0;

  /** What the check for repeats compares. */
  const fingerprint = (app: WecomApp, raw: string, body: Json): string => {
    const seen = settings().ignoresUnknownMembers
      ? JSON.stringify(knownMembers.map((name) => body[name] ?? null))
      : raw;
    return `${app.agentId}/${createHash('sha256').update(seen).digest('hex')}`;
  };

  const isDropped = (app: WecomApp, member: string): boolean => {
    const { memberPerMinute, memberPerHour } = settings();
    const key = `${app.agentId}/${member.toLowerCase()}`;
    toMembers.count(key);
    return (
      toMembers.within(key, minuteMs) > (memberPerMinute ?? Infinity) ||
      toMembers.within(key, hourMs) > (memberPerHour ?? Infinity)
    );
  };

  const take = (
    app: WecomApp,
    message: { readonly members: readonly string[]; readonly text: string; readonly ref: string },
    fault: FaultRule | undefined,
  ): string => {
    serial += 1;
    const msgid = `sim${String(serial).padStart(12, '0')}-${app.agentId}`;
    const shown: SeenMessage[] = [];
    for (const to of message.members) {
      const { text, ref } = message;
      const taken = { at: Date.now(), to, ref, providerId: msgid, text };
      books.accepted.add(taken);
      if (isDropped(app, to)) dropped.push(taken);
      else if (fault?.kind !== 'silent-drop')
        shown.push({ at: taken.at, to, ref, text, shown: 1, isGone: false });
    }
    for (const message of shown) books.device.add(message);
    sent.set(msgid, { agentId: app.agentId, at: now(), shown });
    return msgid;
  };

  return {
    dropped,
    send: (app, raw, fault) => {
      const read = readJson(raw);
      if (read.refusal !== undefined) return read.refusal;
      const body = read.value;
      const draft = readMessage(app, body);
      if (draft.refusal !== undefined) return draft.refusal;
      const { members, text, checkSeconds } = draft.value;
      const print = fingerprint(app, raw, body);
      const before = repeats.get(print);
      if (checkSeconds > 0 && before !== undefined && now() - before.at < checkSeconds * 1000)
        return before.reply;

      const invalid = members.filter((each) => isCalled(each, memberPrefixes.invalid));
      const unlicensed = members.filter((each) => isCalled(each, memberPrefixes.unlicensed));
      const lists = { invaliduser: listOf(invalid), unlicenseduser: listOf(unlicensed) };
      const valid = members.filter((each) => !invalid.includes(each) && !unlicensed.includes(each));
      if (valid.length === 0) return refuse(81013, 'user & party & tag all invalid', lists);
      if (valid.some((each) => isCalled(each, memberPrefixes.unbound)))
        return refuse(43004, 'require subscribe');
      const day = `${app.agentId}/${Math.floor((now() + 8 * hourMs) / dayMs)}`;
      const sendsToday = (persons.get(day) ?? 0) + valid.length;
      if (sendsToday > (settings().personSendsPerDay ?? Infinity))
        return refuse(45009, 'api freq out of limit');
      persons.set(day, sendsToday);
      const ref = typeof body['mc_ref'] === 'string' ? body['mc_ref'] : '';
      const msgid = take(app, { members: valid, text, ref }, fault);
      const reply = done({ ...lists, invalidparty: '', invalidtag: '', msgid });
      repeats.set(print, { at: now(), reply });
      return reply;
    },
    recall: (app, raw) => {
      const read = readJson(raw);
      if (read.refusal !== undefined) return read.refusal;
      const message = sent.get(String(read.value['msgid']));
      if (message === undefined || message.agentId !== app.agentId)
        return refuse(40058, 'invalid msgid');
      if (now() - message.at > dayMs) return refuse(40058, 'msgid is older than 24 hours');
      for (const shown of message.shown) shown.isGone = true;
      return done();
    },
    clear: () => {
      for (const forgotten of [toMembers, persons, repeats, sent]) forgotten.clear();
      dropped.length = 0;
    },
  };
}

const isCalled = (member: string, prefix: string) => member.toLowerCase().startsWith(prefix);
const listOf = (members: readonly string[]) => members.join('|').toLowerCase();

interface Draft {
  readonly members: readonly string[];
  readonly text: string;
  /** 0: repeats are not looked for. */
  readonly checkSeconds: number;
}

function readMessage(app: WecomApp, body: Json): Read<Draft> {
  const no = (errcode: number, errmsg: string) => ({ refusal: refuse(errcode, errmsg) });
  const { touser, agentid, msgtype } = body;
  if (agentid === undefined) return no(41011, 'agentid missing');
  if (!Number.isInteger(agentid)) return no(40056, 'invalid agentid');
  if (agentid !== app.agentId)
    return no(301002, 'not allow operate another agent with this accesstoken');
  if (typeof touser !== 'string' || touser === '')
    return no(82001, 'touser & toparty & totag are empty');
  const members = touser.split('|').filter(Boolean);
  if (members.length > maxMembers) return no(40058, 'too many users');
  if (!members.every((each) => /^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$/.test(each)))
    return no(40003, 'invalid userid');
  const flags = ['safe', 'enable_id_trans', 'enable_duplicate_check'];
  if (flags.some((name) => ![undefined, 0, 1].includes(body[name] as number | undefined)))
    return no(40058, 'invalid request parameter');
  const interval = body['duplicate_check_interval'] ?? 1800;
  if (!Number.isInteger(interval) || (interval as number) < 1 || (interval as number) > 14_400)
    return no(40058, 'invalid duplicate_check_interval');
  const text = readText(msgtype, body);
  if (text.refusal !== undefined) return text;
  const checkSeconds = body['enable_duplicate_check'] === 1 ? (interval as number) : 0;
  return { value: { members, text: text.value, checkSeconds } };
}

/** What people would see: texts beyond their limit are cut without a word. */
function readText(msgtype: unknown, body: Json): Read<string> {
  if (msgtype !== 'text' && msgtype !== 'markdown' && msgtype !== 'textcard')
    return { refusal: refuse(40008, 'invalid message type') };
  const part = body[msgtype];
  const fields = (typeof part === 'object' && part !== null ? part : {}) as Json;
  const wanted = msgtype === 'textcard' ? ['title', 'description', 'url'] : ['content'];
  for (const name of wanted)
    if (typeof fields[name] !== 'string' || fields[name] === '')
      return { refusal: refuse(44004, `empty content, ${msgtype}.${name}`) };
  const cut = (name: string, bytes: number) => cutBytes(String(fields[name]), bytes);
  if (msgtype !== 'textcard') return { value: cut('content', 2048) };
  const url = String(fields['url']);
  if (Buffer.byteLength(url) > 2048 || !/^https?:\/\//.test(url))
    return { refusal: refuse(40058, 'invalid textcard.url') };
  return { value: `${cut('title', 128)}\n${cut('description', 512)}\n${url}` };
}

/** The longest beginning of whole characters that fits. */
function cutBytes(text: string, bytes: number): string {
  let size = 0;
  let kept = '';
  for (const character of text) {
    size += Buffer.byteLength(character);
    if (size > bytes) break;
    kept += character;
  }
  return kept;
}
