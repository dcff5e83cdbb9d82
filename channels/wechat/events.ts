/** What a push tells: receipts of messages, and people who turned away or came back. Pure. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { AskedReceipt, OptOut } from '../../contracts/channel.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { classifyReceipt } from './classify.ts';

/** Status of TEMPLATESENDJOBFINISH without blanks → delivered, or what the failure means. */
export const templateStatuses: Readonly<Record<string, 'delivered' | OutcomeClass>> = {
  success: 'delivered',
  'failed:userblock': 'recipient-refused',
  'failed:systemfailed': 'transient',
  'failed:freqlimit': 'rate-limited',
};

/** In XML everything is text; in JSON numbers may be numbers. */
const Word = Type.Union([Type.String(), Type.Integer()]);
const EntrySchema = Type.Object({
  MsgID: Type.Optional(Word),
  ErrorCode: Type.Optional(Word),
  SubscribeStatusString: Type.Optional(Word),
});
type Entry = Static<typeof EntrySchema>;

const openidPattern = /^[A-Za-z0-9_-]{16,64}$/;
const msgIdPattern = /^\d{1,20}$/;

/**
 * Reads one event, of whichever kind of message: an AppID has one address for the pushes of all. Other events, and
 * messages that people write, yield nothing.
 */
export function readEvent(
  push: Readonly<Record<string, unknown>>,
  now: () => number,
): { readonly receipts: readonly AskedReceipt[]; readonly optOuts?: readonly OptOut[] } {
  const occurredAt = timeOf(push['CreateTime']) ?? new Date(now()).toISOString();
  const people = (said: Said | undefined) => {
    const openid = wordOf(push['FromUserName']);
    if (said === undefined || !openidPattern.test(openid)) return { receipts: [] };
    return { receipts: [], optOuts: [{ to: { openid }, ...said, occurredAt }] };
  };
  switch (push['Event']) {
    case 'TEMPLATESENDJOBFINISH':
      return { receipts: templateReceipt(push, occurredAt) };
    case 'subscribe_msg_sent_event': {
      const entries = entriesOf(push, 'SubscribeMsgSentEvent');
      return { receipts: entries.flatMap((entry) => sentReceipt(entry, occurredAt)) };
    }
    case 'subscribe_msg_popup_event':
      return people(choiceOf(push, 'SubscribeMsgPopupEvent', 'popup'));
    case 'subscribe_msg_change_event':
      return people(choiceOf(push, 'SubscribeMsgChangeEvent', 'change'));
    case 'subscribe':
      return people({ isOut: false, how: 'subscribe' });
    case 'unsubscribe':
      return people({ isOut: true, how: 'unsubscribe' });
    default:
      return { receipts: [] };
  }
}

type Said = Pick<OptOut, 'isOut' | 'how'>;

function templateReceipt(
  push: Readonly<Record<string, unknown>>,
  occurredAt: string,
): readonly AskedReceipt[] {
  const providerId = wordOf(push['MsgID']);
  const status = wordOf(push['Status']).replaceAll(/\s/g, '').toLowerCase().slice(0, 64);
  if (!msgIdPattern.test(providerId)) return [];
  const known = Object.hasOwn(templateStatuses, status) ? templateStatuses[status] : undefined;
  const meaning = known ?? (status.startsWith('failed') ? 'transient' : undefined);
  if (meaning === undefined) return [];
  const said = { providerId, providerCode: status, occurredAt };
  return meaning === 'delivered'
    ? [{ ...said, status: 'delivered' }]
    : [{ ...said, status: 'failed', outcome: meaning }];
}

function sentReceipt(entry: Entry, occurredAt: string): readonly AskedReceipt[] {
  const providerId = wordOf(entry.MsgID);
  const code = wordOf(entry.ErrorCode);
  if (!msgIdPattern.test(providerId) || !/^-?\d{1,10}$/.test(code)) return [];
  const said = { providerId, providerCode: code, occurredAt };
  return code === '0'
    ? [{ ...said, status: 'delivered' }]
    : [{ ...said, status: 'failed', outcome: classifyReceipt(code) }];
}

/** One who accepts any template of a window wants to hear from us; one who refuses all of them does not. */
function choiceOf(
  push: Readonly<Record<string, unknown>>,
  element: string,
  how: string,
): Said | undefined {
  const choices = entriesOf(push, element).map((entry) => entry.SubscribeStatusString);
  if (choices.includes('accept')) return { isOut: false, how: `${how}-accept` };
  return choices.includes('reject') ? { isOut: true, how: `${how}-reject` } : undefined;
}

/** `List`, inside the event's element in XML and beside it in JSON: an object where it is one, an array where there are more. */
function entriesOf(push: Readonly<Record<string, unknown>>, element: string): readonly Entry[] {
  const inner = push[element];
  const list =
    typeof inner === 'object' && inner !== null && 'List' in inner ? inner.List : push['List'];
  return [list].flat().filter((entry) => Check(EntrySchema, entry));
}

function wordOf(value: unknown): string {
  return Check(Word, value) ? String(value) : '';
}

/** Seconds since 1970 as ISO time. */
function timeOf(value: unknown): string | undefined {
  const text = wordOf(value);
  return /^\d{9,10}$/.test(text) ? new Date(Number(text) * 1000).toISOString() : undefined;
}
