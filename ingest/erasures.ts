/** `/v1/erasures`: a person asked to be forgotten. */
import { ErasureSchema } from '../contracts/erasures.ts';
import { Type } from 'typebox';
import { addressAs, addressKinds, ToSchema, type To } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { untilConfirmed, type Store } from '../store/index.ts';

export interface ErasureRoutesDeps {
  readonly store: Pick<Store, 'erasures' | 'people' | 'devices' | 'stops' | 'members' | 'dayKeys'>;
  /** Days for which histories of deliveries are kept: what tenants sent before there were day keys goes by age. */
  readonly retentionDays: number;
  readonly logger: Logger;
}

const BodySchema = Type.Object({ to: ToSchema }, { additionalProperties: false });

const tag = 'people';
const headers = { 'cache-control': 'no-store' };

/** The routes. The address comes in a body, so that no log of a proxy has it. */
export function erasureRoutes<Caller extends { readonly tenantId: string }>(
  deps: ErasureRoutesDeps,
): Route<Caller>[] {
  const { store, logger } = deps;
  return [
    route<Caller, typeof BodySchema>({
      method: 'post',
      path: '/v1/erasures',
      operationId: 'erasePerson',
      summary: 'Forget a person',
      description:
        'By `userId`: with the addresses and devices that are registered for them; else this address. From the answer on nothing that was accepted before is sent to them; what the search index and the database tell of them is gone within a minute, and nobody can open a sealed copy elsewhere after `goneBy`. Suppressions and opt-outs stay, by keyed hash. What is accepted afterwards is sent.',
      tag,
      body: BodySchema,
      responses: { 202: { description: 'Begun.', schema: ErasureSchema } },
      problems: [],
      handle: async ({ body, caller: { tenantId }, requestId }) => {
        const addresses = await addressesOf(deps, tenantId, body.to);
        const nowMs = Date.now();
        const { erasure, recipientHashes } = await store.erasures.create({
          tenantId,
          addresses,
          goneByMs: Math.max(
            nowMs + deps.retentionDays * 86_400_000,
            // No message that waits for them now lies under a later key.
            (await store.dayKeys.lastDestroyAfterMs(tenantId, nowMs)) ?? 0,
          ),
        });
        const stops = await Promise.all(
          recipientHashes.map((value) =>
            store.stops.create({
              action: 'recall',
              scope: { kind: 'recipient', value },
              tenantId,
              reason: 'the person was erased',
            }),
          ),
        );
        await store.erasures.clear(erasure.id);
        const replies = await Promise.all(stops.map((stop) => untilConfirmed(store.members, stop)));
        logger.info(
          {
            erasureId: erasure.id,
            tenantId,
            requestId,
            missing: replies.flatMap(({ missing }) => missing),
          },
          'person.erasing',
        );
        const location = `/v1/erasures/${erasure.id}`;
        return { status: 202, body: erasure, headers: { ...headers, location } };
      },
    }),
    route<Caller>({
      method: 'get',
      path: '/v1/erasures/:id',
      operationId: 'getErasure',
      summary: 'How far an erasure is',
      tag,
      params: { id: 'Id of the erasure: ers_…' },
      responses: { 200: { description: 'As it is now.', schema: ErasureSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' }, caller: { tenantId } }) => {
        const erasure = await store.erasures.get(tenantId, id);
        if (erasure === undefined)
          throw problem('not-found', { detail: `There is no erasure with the id "${id}".` });
        return { status: 200, body: erasure, headers };
      },
    }),
  ];
}

/** Everything under which the person may have been written to. */
async function addressesOf(
  { store }: ErasureRoutesDeps,
  tenantId: string,
  to: To,
): Promise<readonly To[]> {
  const userId = addressAs('userId', to);
  if (userId === undefined) return [to];
  const key = { tenantId, userId };
  const [person, devices] = await Promise.all([store.people.get(key), store.devices.list(key)]);
  const registered = Object.entries(person?.addresses ?? {})
    .filter(([kind]) => kind in addressKinds)
    .map(([kind, value]) => ({ [kind]: value }) as To);
  return [to, ...registered, ...devices.map(({ deviceToken }) => ({ deviceToken }))];
}
