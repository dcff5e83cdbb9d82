/** Opening what ingest sealed: recipient and variables, in clear only inside an activity. */
import { dataExpired } from '../contracts/activities.ts';
import type { AcceptedMessage, SealedRequest } from '../contracts/message.ts';
import type { Reason } from '../contracts/result.ts';
import { DataExpired } from '../platform/day-key.ts';
import type { DayKeyRing } from '../store/index.ts';

export type OpenRequest = (message: AcceptedMessage) => Promise<SealedRequest>;

/**
 * Opens the recipient and variables of a message. Errors: DataExpired, where nobody can any more; store-unavailable; sealed
 * for another message.
 */
export function createOpenRequest(ring: Pick<DayKeyRing, 'open'>): OpenRequest {
  return async (message) =>
    JSON.parse((await ring.open(message.sealed, message.id)).toString('utf8')) as SealedRequest;
}

/** What it opens, or why nobody can any more: no repeat helps. */
export async function endIfExpired<T extends object>(open: () => Promise<T>): Promise<T | Reason> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof DataExpired) return { code: dataExpired, detail: error.message };
    throw error;
  }
}
