/** Circuits: which channel accounts are at fault, and the way to let one go on at once. */
import { Type } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import { ReasonSchema } from '../../contracts/result.ts';
import { route, type Route } from '../../platform/http.ts';
import type { AdminDeps, Administrator } from '../deps.ts';
import { hasRole } from '../roles.ts';

const CircuitSchema = Type.Object({
  accountId: Type.String(),
  tenantId: Type.String(),
  reason: ReasonSchema,
  openedAt: Type.String({ format: 'date-time' }),
  nextTryAt: Type.String({
    format: 'date-time',
    description: 'When the account is tried again; an edit of it is tried at once.',
  }),
  tries: Type.Integer(),
});
const CircuitListSchema = Type.Object({ items: Type.Array(CircuitSchema) });

const tag = 'Channel accounts';

/** The routes. */
export function circuitRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path: '/v1/circuits',
      operationId: 'listCircuits',
      summary: 'Channel accounts that are at fault',
      description:
        'Wrong credentials or no quota: their queue is held, no message is spent on them, and a harmless call tries them later and later.',
      tag,
      responses: {
        200: {
          description: 'All that are open, the next to be tried first.',
          schema: CircuitListSchema,
        },
      },
      problems: [],
      handle: async ({ caller }) => {
        const open = await store.circuits.listOpen();
        const items = open.filter(({ tenantId }) => hasRole(caller, 'viewer', tenantId));
        return { status: 200, body: { items } };
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/circuits/:accountId',
      operationId: 'closeCircuit',
      summary: 'Let a channel account go on at once',
      description:
        'Its deliveries go on within seconds; if it is still at fault, it is held again.',
      tag,
      params: { accountId: 'Id of the channel account: acc_…' },
      responses: { 204: { description: 'Closed.' } },
      problems: ['not-found'],
      handle: async ({ params: { accountId = '' }, requestId }) => {
        if (!(await store.circuits.close(accountId, Date.now())))
          throw problem('not-found', { detail: `"${accountId}" has no open circuit.` });
        logger.info({ accountId, requestId }, 'circuit.closed-by-hand');
        return { status: 204 };
      },
    }),
  ];
}
