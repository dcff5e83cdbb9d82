/** Rotation of master keys: what is sealed under which, and its move to the newest. */
import { Type } from 'typebox';
import { route, type Route } from '../../platform/http.ts';
import type { SealedUnder } from '../../store/index.ts';
import type { AdminDeps, Administrator } from '../deps.ts';

const SecretsSchema = Type.Object({
  sealingKey: Type.String({ description: 'Name of the master key that seals: the first one.' }),
  keys: Type.Array(
    Type.Object({
      name: Type.String(),
      isKnown: Type.Boolean({
        description: 'Whether admin holds it; what is sealed under one that it does not is lost.',
      }),
      count: Type.Integer({ description: 'Values in MySQL that are sealed under it.' }),
      secrets: Type.Array(Type.Object({ what: Type.String(), count: Type.Integer() })),
    }),
  ),
});
const RewrapSchema = Type.Object({
  rewrapped: Type.Integer(),
  unreadable: Type.Integer({ description: 'Sealed under a key that admin does not hold.' }),
  isDone: Type.Boolean({ description: 'False: the time ran out; call again.' }),
  ...SecretsSchema.properties,
});

/** A call answers well before a proxy loses its patience. */
const rewrapWithinMs = 10_000;
const tag = 'Secrets';

/** The routes. */
export function secretRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path: '/v1/secrets',
      operationId: 'listSecrets',
      summary: 'How much is sealed under which master key',
      description:
        'Counts every sealed value in MySQL: secrets of channel accounts, people, devices, inboxes, tokens, parked receipts. Never a value.',
      tag,
      responses: { 200: { description: 'All keys that seal something.', schema: SecretsSchema } },
      problems: [],
      handle: async () => ({ status: 200, body: byKey(await store.secrets.count()) }),
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/secrets/rewrap',
      operationId: 'rewrapSecrets',
      summary: 'Seal everything under the first master key',
      description:
        'Works for about 10 seconds, row by row, beside all traffic; call it until `isDone`. May be broken off and repeated at any time.',
      tag,
      responses: { 200: { description: 'What was done and what is left.', schema: RewrapSchema } },
      problems: [],
      handle: async ({ requestId }) => {
        const done = await store.secrets.rewrap(rewrapWithinMs);
        logger.info({ ...done, requestId }, 'secrets.rewrapped');
        return { status: 200, body: { ...done, ...byKey(await store.secrets.count()) } };
      },
    }),
  ];
}

function byKey({ keyNames, counts }: SealedUnder) {
  const names = new Set([...keyNames, ...counts.map(({ key }) => key)]);
  const keys = [...names].map((name) => {
    const secrets = counts
      .filter(({ key }) => key === name)
      .map(({ what, count }) => ({ what, count }));
    const count = secrets.reduce((sum, each) => sum + each.count, 0);
    return { name, isKnown: keyNames.includes(name), count, secrets };
  });
  return { sealingKey: keyNames[0], keys };
}
