/** Opening what ingest sealed: recipient and variables, in clear only inside an activity. */
import type { AcceptedMessage, SealedRequest } from '../contracts/message.ts';
import type { Sealer } from '../platform/seal.ts';

export type OpenRequest = (message: AcceptedMessage) => SealedRequest;

/** Opens the recipient and variables of a message. Errors: sealed under a key that is not in the ring, or for another message. */
export function createOpenRequest(sealer: Sealer): OpenRequest {
  return (message) =>
    JSON.parse(sealer.open(message.sealed, message.id).toString('utf8')) as SealedRequest;
}
