/** Admin's routes on a database of their own, called by whoever the test says. Open it at the top level of a file. */
import { pino, type Logger } from 'pino';
import { everyTenant } from '../contracts/users.ts';
import { createConnectors } from '../channels/registry.ts';
import { createApp, listen } from '../platform/http.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore, type Store } from '../store/index.ts';
import type { Administrator } from '../admin/deps.ts';
import { adminRoutes } from '../admin/server.ts';
import { testMysqlUrl } from './stack.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // What came back, looked into by the assertions.
  readonly body: Record<string, unknown> & {
    errors?: { pointer: string; detail: string }[];
    items?: Record<string, unknown>[];
  };
}
export type Call = (
  method: string,
  path: string,
  options?: { body?: unknown; ifMatch?: string },
) => Promise<Answer>;

export interface TestAdmin {
  readonly store: Store;
  /** Of its database. */
  readonly mysqlUrl: string;
  readonly logger: Logger;
  /** Everything that was logged. */
  readonly lines: readonly string[];
  /** Calls as the administrator with this id. */
  as(id: string): Call;
  close(): Promise<void>;
}

/** Opens it with the tenant `demo` and every connector there is. */
export async function openTestAdmin(): Promise<TestAdmin> {
  const lines: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
  const mysqlUrl = await testMysqlUrl();
  const store = createStore({ mysqlUrl, sealer, slots: 4, logger });
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  const connectors = createConnectors({ allowPrivateProviders: true, ...store.connectorState });
  const app = createApp<Administrator>({
    routes: adminRoutes({ store, connectors, logger }),
    authenticate: async ({ authorization = '' }) => ({
      id: authorization,
      name: authorization,
      grants: [{ role: 'administrator', tenantId: everyTenant }],
    }),
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  const server = await listen(app, '127.0.0.1', 0);
  return {
    store,
    mysqlUrl,
    logger,
    lines,
    as:
      (id) =>
      async (method, path, { body, ifMatch } = {}) => {
        const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
          method,
          headers: {
            authorization: id,
            ...(body !== undefined && { 'content-type': 'application/json' }),
            ...(ifMatch !== undefined && { 'if-match': ifMatch }),
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
        const { status, headers } = response;
        const text = await response.text();
        return { status, headers, text, body: text === '' ? {} : JSON.parse(text) };
      },
    close: async () => {
      await server.close();
      await store.close();
    },
  };
}

export const pointers = ({ body }: Answer) => body.errors?.map(({ pointer }) => pointer);

export const problemOf = ({ body }: Answer) =>
  String(body['type']).replace('urn:message-center:problem:', '');
