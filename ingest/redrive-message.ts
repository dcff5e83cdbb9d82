/** `POST /v1/messages/{id}/redrive`: a service sends one of its failed messages again. */
import { Type } from 'typebox';
import { problem } from '../contracts/problems.ts';
import { defaultRedrivenStatuses } from '../contracts/redrive.ts';
import type { Snapshot } from '../contracts/result.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import type { MessageIds } from '../platform/message-id.ts';
import type { Redriven, RedriveOf } from '../platform/redrive-message.ts';

export interface RedriveRouteDeps {
  readonly ids: Pick<MessageIds, 'isGenuine'>;
  /** Errors: a server does not answer. */
  readonly redriveMessage: (of: RedriveOf) => Promise<Redriven>;
  /** Writes a snapshot into the index now, so that the status is right from the answer on; never throws. */
  readonly indexNow: (snapshot: Snapshot) => Promise<unknown>;
  readonly logger: Logger;
}

const RedrivenSchema = Type.Object({
  id: Type.String(),
  status: Type.Literal('sending'),
  redrive: Type.Integer({ description: 'Counted up with each time it is sent again.' }),
  expiresAt: Type.String({ format: 'date-time', description: 'The end of its new life.' }),
});

/** The route. */
export function redriveRoute<Caller extends { readonly tenantId: string }>(
  deps: RedriveRouteDeps,
): Route<Caller> {
  return route<Caller>({
    method: 'post',
    path: '/v1/messages/:id/redrive',
    operationId: 'redriveMessage',
    summary: 'Send a failed message again',
    description:
      'For a message that has failed or expired: a new delivery under the same id, at once, with a life as long as its first one. While that is under way a repeat is answered with 409 and changes nothing.',
    tag: 'messages',
    params: { id: 'The message id' },
    responses: { 202: { description: 'Delivery follows.', schema: RedrivenSchema } },
    problems: [
      'message-not-found',
      'redrive-not-possible',
      'search-unavailable',
      'broker-unavailable',
    ],
    handle: async ({ params, caller: { tenantId } }) => {
      const messageId = params['id'] ?? '';
      const notFound = problem('message-not-found', {
        detail: `${messageId} is not the id of a message of this tenant.`,
      });
      if (!deps.ids.isGenuine(messageId, tenantId)) throw notFound;
      const redriven = await deps.redriveMessage({
        messageId,
        tenantId,
        statuses: defaultRedrivenStatuses,
      });
      deps.logger.info({ messageId, tenantId, result: redriven.result }, 'message.redrive');
      if (redriven.result === 'already-open')
        throw problem('redrive-not-possible', { detail: 'A delivery of it is under way.' });
      if (redriven.result === 'skipped')
        throw problem('redrive-not-possible', { detail: whyNot(redriven.why) });
      const { sending } = redriven;
      await deps.indexNow(sending);
      const { redrive, expiresAt } = sending;
      return {
        status: 202,
        body: { id: messageId, status: 'sending', redrive, expiresAt },
        headers: { location: `/v1/messages/${messageId}` },
      };
    },
  });
}

function whyNot(why: string): string {
  switch (why) {
    case 'not-found':
      return 'It is not known whether it has failed: the index has only just heard of it, or no longer keeps it.';
    case 'no-end':
      return 'Its delivery has ended, and it is not known how: repeat in a moment, unless an operator terminated it.';
    case 'ended-well':
      return 'It was sent; what a receipt said later does not send it again.';
    case 'request-gone':
      return 'It is too old: its recipient and variables are no longer kept.';
    default:
      return `Only what has failed or expired is sent again; its status is ${why}.`;
  }
}
