/** What a person said through a channel: no marketing from there, and a withdrawal of consent where they ever gave one. */
import { providerSource } from '../contracts/consents.ts';
import type { OptOutNotice } from '../contracts/result.ts';
import type { Store } from '../store/index.ts';

/**
 * Keeps it; a repeat changes nothing. To be back is the end of the opt-out alone: consent is a word on a text that was
 * shown, and a service records it. Errors: store-unavailable.
 */
export async function recordOptOut(
  { optOuts, consents }: Pick<Store, 'optOuts' | 'consents'>,
  notice: OptOutNotice,
): Promise<void> {
  await optOuts.record(notice);
  if (!notice.isOut) return;
  const { tenantId, recipientHash, channel, occurredAt, how } = notice;
  await consents.record({
    tenantId,
    recipientHash,
    channel,
    occurredAt,
    action: 'withdrawn',
    purpose: 'marketing',
    source: providerSource,
    evidence: how,
  });
}
