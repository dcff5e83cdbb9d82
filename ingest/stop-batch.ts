/** `POST /v1/batches/{batch}/recall|pause|resume`: a service stops a batch of its own. */
import { PostMessageSchema } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { StopReplySchema, type Stop, type StopScope } from '../contracts/stops.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { createValidator } from '../platform/validate.ts';
import { untilConfirmed, type Store } from '../store/index.ts';

export interface StopBatchDeps {
  readonly store: Pick<Store, 'stops' | 'members'>;
  readonly logger: Logger;
}

interface BatchOf {
  readonly tenantId: string;
  readonly scope: StopScope;
}

const batchValidator = createValidator(PostMessageSchema.properties.batch);

const actions = {
  recall: {
    summary: 'Take a batch back',
    description:
      'What was accepted with this batch until now, and was not sent, ends as recalled. Messages accepted later are sent.',
  },
  pause: {
    summary: 'Hold a batch',
    description:
      'Nothing of it is sent until it is resumed; its messages do not grow old meanwhile.',
  },
  resume: {
    summary: 'Let a paused batch go on',
    description: 'What was held is rendered anew, with the newest version of its template.',
  },
} as const;
type Action = keyof typeof actions;

/** The routes. */
export function stopBatchRoutes<Caller extends { readonly tenantId: string }>(
  deps: StopBatchDeps,
): Route<Caller>[] {
  const { store, logger } = deps;
  return (Object.keys(actions) as Action[]).map((action) =>
    route<Caller>({
      method: 'post',
      path: `/v1/batches/:batch/${action}`,
      operationId: `${action}Batch`,
      summary: actions[action].summary,
      description: `${actions[action].description} Answers once it is in force everywhere; from then on only calls that were under way reach a provider.`,
      tag: 'batches',
      params: { batch: 'Name of the batch, as its messages give it' },
      responses: {
        200: { description: 'In force everywhere.', schema: StopReplySchema },
        202: {
          description: 'Stored; the processes in `missing` have not confirmed it within 5 seconds.',
          schema: StopReplySchema,
        },
      },
      problems: action === 'resume' ? ['not-found', 'validation-failed'] : ['validation-failed'],
      handle: async ({ params, caller: { tenantId }, requestId }) => {
        const scope = { kind: 'batch' as const, value: requireName(params['batch'] ?? '') };
        const stop = await apply(deps, action, { tenantId, scope });
        const body = await untilConfirmed(store.members, stop);
        const status = body.missing.length === 0 ? 200 : 202;
        const { id: stopId, revision } = stop;
        logger.info({ stopId, action, scope, tenantId, revision, status, requestId }, 'batch.stop');
        return { status, body };
      },
    }),
  );
}

function requireName(batch: string): string {
  const [fault] = batchValidator.faults(batch);
  if (fault === undefined) return batch;
  throw problem('validation-failed', {
    detail: `path/batch ${fault.detail}`,
    errors: [{ pointer: 'path/batch', detail: fault.detail }],
  });
}

async function apply({ store }: StopBatchDeps, action: Action, batch: BatchOf): Promise<Stop> {
  if (action !== 'resume')
    return store.stops.create({ action, ...batch, reason: "at the service's request" });
  const paused = await store.stops.pauseOf(batch.tenantId, batch.scope);
  if (paused === undefined)
    throw problem('not-found', { detail: `Batch "${batch.scope.value}" is not paused.` });
  return store.stops.resume(paused.id);
}
