/**
 * How the messages of one SendBatchSms call are told apart. The provider gives such a call one BizId and takes one OutId
 * for it, so a message of it is known by BizId and number; no number is twice in a call.
 */
import { sha256Hex } from './sign.ts';

const outIdPrefix = 'batch.';

/** OutId of a call for these messages. */
export function batchOutId(deliveryKeys: readonly string[]): string {
  return outIdPrefix + sha256Hex(deliveryKeys.join('\n')).slice(0, 32);
}

/** Whether a record or receipt is of a call for several messages. */
export function isBatchOutId(outId: string): boolean {
  return outId.startsWith(outIdPrefix);
}

/** Provider id of one message of a call. `number` as in address.ts `toProviderNumber`. */
export function batchMemberId(bizId: string, number: string): string {
  return `${bizId}.${hashOf(number)}`;
}

/** BizId of a message's call, from its provider id and number; undefined: the message was sent alone. */
export function batchBizId(providerId: string, number: string): string | undefined {
  const ending = `.${hashOf(number)}`;
  return providerId.endsWith(ending) ? providerId.slice(0, -ending.length) : undefined;
}

// Six digits tell a hundred numbers of one call apart, and fit some hundred of all numbers there are: enough to match a
// receipt, too little to find out whose it is.
const hashOf = (number: string) => sha256Hex(number).slice(0, 6);
