/** How a channel account is: the limit in force and why it is lower than what is configured, and the last verify. */
import { Type } from 'typebox';
import { outcomeClasses } from '../../contracts/outcome.ts';
import { problem } from '../../contracts/problems.ts';
import { ReasonSchema } from '../../contracts/result.ts';
import type { Account } from '../../contracts/template.ts';
import { route, type Route } from '../../platform/http.ts';
import type { AdminDeps, Administrator } from '../deps.ts';

const timeOf = (description: string) => Type.String({ format: 'date-time', description });
const CauseSchema = Type.Union([
  Type.Object(
    { cause: Type.Literal('stopped') },
    { description: 'An operator has set isStopped; nothing else lets it go on.' },
  ),
  Type.Object(
    {
      cause: Type.Literal('circuit'),
      reason: ReasonSchema,
      openedAt: timeOf('Since when it is at fault.'),
      nextTryAt: timeOf('When it is tried again.'),
      tries: Type.Integer(),
    },
    { description: 'The account or its provider is at fault; it is tried until it works.' },
  ),
  Type.Object(
    {
      cause: Type.Literal('paused'),
      stopId: Type.String({ description: 'POST /v1/stops/{id}/resume ends it.' }),
      reason: Type.String(),
      createdAt: timeOf('Since when.'),
    },
    { description: 'A pause of the account: its messages are held, its limit is as it was.' },
  ),
]);
const HealthSchema = Type.Object({
  accountId: Type.String(),
  tenantId: Type.String(),
  state: Type.Enum(['serving', 'held', 'settling'], {
    description:
      'serving: messages go at the configured limit. held: nothing goes, for the causes. settling: an edit is not in force yet; longer than seconds: no jobs process works.',
  }),
  limit: Type.Object({
    configured: Type.Number({ description: 'Messages per second.' }),
    inForce: Type.Union([Type.Number(), Type.Null()], {
      description: 'What the Temporal server enforces; null: nothing yet.',
    }),
  }),
  causes: Type.Array(CauseSchema, { description: 'All that hold it, each by itself.' }),
  lastVerify: Type.Optional(
    Type.Object(
      {
        verifiedAt: timeOf('When the provider was asked.'),
        works: Type.Boolean(),
        outcome: Type.Object({
          class: Type.Enum([...outcomeClasses]),
          providerCode: Type.Optional(Type.String()),
          providerMessage: Type.Optional(Type.String()),
        }),
        durationMs: Type.Integer(),
      },
      { description: 'By POST …/verify, or by a try while the account is at fault.' },
    ),
  ),
});

/** The route. */
export function accountHealthRoutes({ store }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path: '/v1/channel-accounts/:id/health',
      operationId: 'getChannelAccountHealth',
      summary: 'How a channel account is, and why',
      tag: 'Channel accounts',
      params: { id: 'Id of the channel account: acc_…' },
      responses: { 200: { description: 'As it is now.', schema: HealthSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        const account = await store.channelAccounts.get(id);
        if (account === undefined)
          throw problem('not-found', {
            detail: `There is no channel account with the id "${id}".`,
          });
        const { tenantId, ratePerSecond, limitInForce } = account;
        const causes = await causesOf(store, account);
        const lastVerify = await store.accountVerifications.last(id);
        const wanted = causes.some(({ cause }) => cause !== 'paused') ? 0 : ratePerSecond;
        const isSettled = limitInForce === wanted;
        return {
          status: 200,
          body: {
            accountId: id,
            tenantId,
            state: !isSettled ? 'settling' : causes.length > 0 ? 'held' : 'serving',
            limit: { configured: ratePerSecond, inForce: limitInForce },
            causes,
            ...(lastVerify !== undefined && { lastVerify }),
          },
        };
      },
    }),
  ];
}

async function causesOf(store: AdminDeps['store'], { id, tenantId, isStopped }: Account) {
  const [circuits, pause] = await Promise.all([
    store.circuits.listOpen(),
    store.stops.pauseOf(tenantId, { kind: 'account', value: id }),
  ]);
  const circuit = circuits.find(({ accountId }) => accountId === id);
  return [
    ...(isStopped ? [{ cause: 'stopped' }] : []),
    ...(circuit === undefined
      ? []
      : [
          {
            cause: 'circuit',
            reason: circuit.reason,
            openedAt: circuit.openedAt,
            nextTryAt: circuit.nextTryAt,
            tries: circuit.tries,
          },
        ]),
    ...(pause === undefined
      ? []
      : [{ cause: 'paused', stopId: pause.id, reason: pause.reason, createdAt: pause.createdAt }]),
  ];
}
