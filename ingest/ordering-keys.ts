/** `POST /v1/ordering-keys/{key}/resume`: a key that stopped behind a message which was not delivered goes on. */
import { Type } from 'typebox';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { problem } from '../contracts/problems.ts';
import { goOnSignal } from '../contracts/sequence.ts';
import type { Names } from '../contracts/topics.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { sequencerId } from '../platform/ordering-group.ts';
import { searchAttributes } from '../platform/temporal-client.ts';

export interface OrderingKeyDeps {
  readonly client: Client;
  readonly names: Names;
  readonly logger: Logger;
}

const ResumedSchema = Type.Object({
  orderingKey: Type.String(),
  status: Type.Literal('resumed'),
});

const temporalDeadlineMs = 5000;

/** The route. */
export function resumeRoute<Caller extends { readonly tenantId: string }>(
  deps: OrderingKeyDeps,
): Route<Caller> {
  return route<Caller>({
    method: 'post',
    path: '/v1/ordering-keys/:key/resume',
    operationId: 'resumeOrderingKey',
    summary: 'Let a stopped ordering key go on',
    description:
      'A key stops behind a message with onOrderFailure "stop" that could not be delivered. From now on the next message of the key goes; the one that failed is not sent again by this.',
    tag: 'messages',
    params: { key: 'The ordering key' },
    responses: { 200: { description: 'The next message goes.', schema: ResumedSchema } },
    problems: ['ordering-key-not-stopped'],
    handle: async ({ params, caller: { tenantId } }) => {
      const orderingKey = params['key'] ?? '';
      if (!(await resume(deps, tenantId, orderingKey)))
        throw problem('ordering-key-not-stopped', {
          detail: `No message of this tenant waits behind a stop of the key "${orderingKey}".`,
        });
      deps.logger.info({ tenantId, orderingKey }, 'ordering-key.resumed');
      return { status: 200, body: { orderingKey, status: 'resumed' } };
    },
  });
}

/** False: the key is not stopped. Errors: Temporal does not answer within 5 s. */
async function resume(
  { client, names }: OrderingKeyDeps,
  tenantId: string,
  orderingKey: string,
): Promise<boolean> {
  const handle = client.workflow.getHandle(sequencerId(names, { tenantId, orderingKey }));
  return client.withDeadline(Date.now() + temporalDeadlineMs, async () => {
    try {
      const { status, typedSearchAttributes } = await handle.describe();
      if (
        status.name !== 'RUNNING' ||
        typedSearchAttributes.get(searchAttributes.state) !== 'stuck'
      )
        return false;
      await handle.signal(goOnSignal);
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  });
}
