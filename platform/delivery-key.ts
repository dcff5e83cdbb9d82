/** The key under which a provider knows one delivery: the same for every attempt, another for a redrive, channel or address. */
import { createHash } from 'node:crypto';
import type { To } from '../contracts/message.ts';

/** `<messageId>.<redrive>.<16 hex of channel and address>`; 49 characters for the first redrives. */
export function deliveryKey(input: {
  messageId: string;
  redrive: number;
  connector: string;
  to: To;
}): string {
  const { messageId, redrive, connector, to } = input;
  const hash = createHash('sha256')
    .update(JSON.stringify([messageId, redrive, connector, to]))
    .digest('hex')
    .slice(0, 16);
  return `${messageId}.${redrive}.${hash}`;
}

/** The message a delivery key is about, if it has our form. */
export function messageOfDeliveryKey(
  key: string,
): { messageId: string; redrive: number } | undefined {
  const [messageId, redrive] = key.split('.');
  if (
    messageId === undefined ||
    redrive === undefined ||
    !/^msg_[0-9a-z]{26}$/.test(messageId) ||
    !/^\d{1,4}$/.test(redrive)
  )
    return undefined;
  return { messageId, redrive: Number(redrive) };
}
