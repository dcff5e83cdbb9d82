/** Many messages in few calls: groups for SendBatchSms, and what is done when one message of a group is refused. */
import type { SendRequest } from '../../contracts/channel.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { addressFault, toProviderNumber } from './address.ts';
import { batchMemberId } from './batch-ids.ts';
import type { SmsContent } from './client.ts';

/** Documented for SendBatchSms. */
export const maxBatchMessages = 100;

export type BatchMessage = Omit<SendRequest<SmsContent>, 'signal'>;

export interface BatchCalls {
  /** One SendSms call. */
  readonly sendOne: (message: BatchMessage) => Promise<SendOutcome>;
  /** One SendBatchSms call for messages of one template to different numbers; the outcome is that of the whole call. */
  readonly sendMany: (messages: readonly BatchMessage[]) => Promise<SendOutcome>;
  /** Whether another call may still begin. */
  readonly hasTime: () => boolean;
}

interface Item {
  readonly message: BatchMessage;
  readonly number: string;
  /** Its place among all messages. */
  readonly index: number;
}

/**
 * Sends messages of any number and content: one call for each group of equal template code, one after the other.
 *
 * The provider refuses a whole call for one bad number or variable. A group that was refused for what may be wrong with
 * one of its messages is halved until the bad ones stand alone; what may have been taken is never sent again. What is
 * wrong with the account ends the matter for all that is left. What there was no time for is transient and untried.
 */
export async function sendInBatches(
  messages: readonly BatchMessage[],
  calls: BatchCalls,
): Promise<readonly SendOutcome[]> {
  const outcomes = new Map<number, SendOutcome>();
  const settle = (items: readonly Item[], outcome: SendOutcome) => {
    for (const { index } of items) outcomes.set(index, outcome);
  };
  const parts = toGroups(messages, settle);
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
    if (!calls.hasTime()) {
      settle(part, {
        class: 'transient',
        isUntried: true,
        providerMessage: 'no time was left for this part',
      });
      continue;
    }
    const [first] = part;
    const outcome =
      part.length === 1 && first !== undefined
        ? await calls.sendOne(first.message)
        : await calls.sendMany(part.map(({ message }) => message));
    if (part.length > 1 && mayBeOfOne(outcome)) {
      const middle = Math.ceil(part.length / 2);
      // Behind the others: if time runs out, most have been called.
      parts.push(part.slice(0, middle), part.slice(middle));
    } else if (part.length > 1 && outcome.class === 'accepted')
      for (const item of part)
        settle([item], { ...outcome, providerId: batchMemberId(outcome.providerId, item.number) });
    else settle(part, outcome);
    if (isOfAccount(outcome)) for (const rest of parts.splice(0)) settle(rest, outcome);
  }
  return messages.map((_, index) => outcomes.get(index) ?? { class: 'transient' });
}

/** Every part in which messages may have been called, largest first: their places. Those of one part are taken together or not. */
export function partsOf(messages: readonly BatchMessage[]): readonly (readonly number[])[] {
  const parts = toGroups(messages, () => {});
  // The list grows while it is walked: halves come after what they are halves of.
  for (const part of parts)
    if (part.length > 1) {
      const middle = Math.ceil(part.length / 2);
      parts.push(part.slice(0, middle), part.slice(middle));
    }
  return parts.map((part) => part.map(({ index }) => index));
}

/** Groups by template code, in order, of at most `maxBatchMessages`; what cannot be sent is settled at once. */
function toGroups(
  messages: readonly BatchMessage[],
  settle: (items: readonly Item[], outcome: SendOutcome) => void,
): (readonly Item[])[] {
  const byTemplate = new Map<string, Map<string, Item>>();
  for (const [index, message] of messages.entries()) {
    const item = { message, index, number: toProviderNumber(message.to) };
    const fault = addressFault(message.to);
    const { templateCode } = message.content;
    const group = byTemplate.get(templateCode) ?? new Map<string, Item>();
    byTemplate.set(templateCode, group);
    if (fault !== undefined) settle([item], { class: 'recipient-invalid', providerMessage: fault });
    else if (group.has(item.number))
      // Receipts and records of one call are told apart by the number alone.
      settle([item], {
        class: 'transient',
        providerMessage: 'another message of the same call goes to this number',
      });
    else group.set(item.number, item);
  }
  return [...byTemplate.values()].flatMap((group) => {
    const items = [...group.values()];
    const count = Math.ceil(items.length / maxBatchMessages);
    return Array.from({ length: count }, (_, n) =>
      items.slice(n * maxBatchMessages, (n + 1) * maxBatchMessages),
    );
  });
}

/** The one template of a call is wrong for all its messages; signature, variables and number are each message's own. */
const codesOfTemplate = new Set(['isv.SMS_TEMPLATE_ILLEGAL']);

/** Whether a call of several was refused, surely, for what may be wrong with one of them. */
function mayBeOfOne(outcome: SendOutcome): boolean {
  switch (outcome.class) {
    case 'recipient-invalid':
    case 'recipient-refused':
    case 'content-rejected':
      return true;
    case 'template-invalid':
      return !codesOfTemplate.has(outcome.providerCode ?? '');
    case 'rate-limited':
      return outcome.scope === 'recipient';
    case 'accepted':
    case 'duplicate':
    case 'transient':
    case 'ambiguous':
    case 'auth-expired':
    case 'auth-invalid':
    case 'quota-exhausted':
      return false;
  }
}

function isOfAccount(outcome: SendOutcome): boolean {
  return (
    ['auth-invalid', 'quota-exhausted'].includes(outcome.class) ||
    (outcome.class === 'rate-limited' && outcome.scope === 'account')
  );
}
