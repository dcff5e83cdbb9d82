/** `POST /v1/messages/sql`: questions in SQL, read-only and within the tenant. */
import { Type } from 'typebox';
import { route, type Route } from '../platform/http.ts';
import { tenantQuery, type SearchDeps } from './audience.ts';
import { readAddress } from './filter.ts';
import { sqlLimits } from './sql/limits.ts';
import { readSelect } from './sql/read-select.ts';
import { runSelect } from './sql/run-select.ts';

const BodySchema = Type.Object(
  {
    query: Type.String({
      minLength: 1,
      maxLength: sqlLimits.characters,
      description: 'SELECT … FROM messages.',
      examples: [
        "SELECT status, channel, COUNT(*) AS n FROM messages WHERE acceptedAt >= now() - interval '1 hour' GROUP BY status, channel ORDER BY n DESC",
      ],
    }),
  },
  { additionalProperties: false },
);

export const SqlAnswerSchema = Type.Object({
  columns: Type.Array(
    Type.Object({ name: Type.String(), type: Type.Enum(['text', 'number', 'time']) }),
  ),
  rows: Type.Array(Type.Array(Type.Union([Type.String(), Type.Number(), Type.Null()]))),
});

/** The route. */
export function sqlRoute<Caller>(
  deps: Pick<SearchDeps<Caller>, 'client' | 'names' | 'tenantOf' | 'audience' | 'hashRecipient'>,
): Route<Caller> {
  const QuerySchema = Type.Object(tenantQuery(deps.audience), { additionalProperties: false });
  return route<Caller, typeof BodySchema, typeof QuerySchema>({
    method: 'post',
    path: '/v1/messages/sql',
    operationId: 'queryMessages',
    summary: 'Ask in SQL',
    description: `One SELECT over the table messages, of PostgreSQL's spelling; nothing can be written, and only the tenant's messages are there. At most ${sqlLimits.rows} rows or groups and ${sqlLimits.seconds} seconds. What is not understood is refused with its place in the text. Columns and functions: docs/operations.md.`,
    tag: 'messages',
    query: QuerySchema,
    body: BodySchema,
    responses: { 200: { description: 'Rows.', schema: SqlAnswerSchema } },
    problems: ['query-too-slow', 'search-unavailable'],
    handle: async (input) => {
      const tenantId = await deps.tenantOf(input);
      const select = readSelect(input.body.query, {
        nowMs: Date.now(),
        hashAddress: (text) => {
          const address = readAddress(text);
          return typeof address === 'string'
            ? address
            : { hash: deps.hashRecipient(tenantId, address) };
        },
      });
      const run = { client: deps.client, index: deps.names.messageIndices };
      return { status: 200, body: await runSelect(run, tenantId, select) };
    },
  });
}
