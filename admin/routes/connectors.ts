/** What can be connected: the connectors of this installation with their schemas, for forms and for newcomers. */
import { Type } from 'typebox';
import { route, type Route } from '../../platform/http.ts';
import type { AdminDeps, Administrator } from '../deps.ts';

const SchemaSchema = Type.Object({}, { description: 'A JSON Schema.' });
const ConnectorSchema = Type.Object({
  name: Type.String(),
  channel: Type.String(),
  capabilities: Type.Object({}, { description: 'What the provider can do; times in ms.' }),
  settingsSchema: SchemaSchema,
  secretsSchema: SchemaSchema,
  contentSchema: SchemaSchema,
});

/** The routes of connectors. */
export function connectorRoutes({ connectors }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path: '/v1/connectors',
      operationId: 'listConnectors',
      summary: 'Connectors and the schemas of their settings, secrets and content',
      tag: 'Connectors',
      responses: {
        200: {
          description: 'All of them.',
          schema: Type.Object({ items: Type.Array(ConnectorSchema) }),
        },
      },
      problems: [],
      handle: async () => ({
        status: 200,
        body: {
          items: [...connectors.values()].map(
            ({ name, channel, capabilities, settingsSchema, secretsSchema, contentSchema }) => ({
              name,
              channel,
              capabilities,
              settingsSchema,
              secretsSchema,
              contentSchema,
            }),
          ),
        },
      }),
    }),
  ];
}
