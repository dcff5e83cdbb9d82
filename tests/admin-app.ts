/** The administration API in a test's own process, on a database of its own. */
import { after } from 'node:test';
import { pino } from 'pino';
import type { Oidc } from '../admin/oidc.ts';
import { createAdminApp } from '../admin/server.ts';
import type { AdminSearch } from '../admin/deps.ts';
import type { Connector } from '../contracts/channel.ts';
import type { SealedRequest } from '../contracts/message.ts';
import type { Grant } from '../contracts/users.ts';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { listen } from '../platform/http.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createSealer, type Sealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { createStore } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { freshPrefix, testElasticsearchUrl, testMysqlUrl } from './stack.ts';

export const adminToken = 'test-token-of-24-characters';

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // What came back, looked into by the assertions.
  readonly body: Record<string, unknown> & {
    errors?: { pointer: string; detail: string }[];
    items?: Record<string, unknown>[];
  };
}

export interface CallOptions {
  readonly body?: unknown;
  readonly ifMatch?: string;
  /** Default: MC_ADMIN_TOKEN; empty: none. */
  readonly token?: string;
}

/** Serves the API until after the file's tests; `lines` is what is logged. */
export async function serveAdmin(
  connectors: readonly Connector[],
  makeOidc: (sealer: Sealer) => Oidc | undefined = () => undefined,
) {
  const lines: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const mysqlUrl = await testMysqlUrl();
  const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
  const store = createStore({ mysqlUrl, sealer, slots: 4, logger });
  const names = createNames(freshPrefix());
  const elasticsearch = createElasticsearch({ url: await testElasticsearchUrl() });
  // Nobody listens there: what the runs would say is missing from what is told of messages.
  const temporal = connectTemporalClient({ address: '127.0.0.1:9', namespace: 'none', sealer });
  const search: AdminSearch = {
    client: elasticsearch,
    names,
    index: createMessageIndex({ client: elasticsearch, names, logger }),
    logger,
    stopped: new AbortController().signal,
    temporal: temporal.client,
    namespace: 'none',
    ids: createMessageIds(sealer),
    paceSeconds: 30,
    hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    openRequest: async ({ messageId }, sealed) =>
      JSON.parse(sealer.open(sealed, messageId).toString('utf8')) as SealedRequest,
  };
  const deps = {
    store,
    logger,
    search,
    oidc: makeOidc(sealer),
    connectors: new Map(connectors.map((connector) => [connector.name, connector])),
  };
  await store.migrate();
  const app = createAdminApp({ ...deps, metrics: createMetrics(), adminToken });
  const server = await listen(app, '127.0.0.1', 0);
  after(async () => {
    await server.close();
    await elasticsearch.close();
    await store.close();
  });
  const call = async (method: string, path: string, options: CallOptions = {}) => {
    const { body, ifMatch, token = adminToken } = options;
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
      method,
      headers: {
        ...(token !== '' && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const [contentType = ''] = (response.headers.get('content-type') ?? '').split(';');
    const answer: AdminAnswer = {
      status: response.status,
      headers: response.headers,
      text,
      body: /^application\/(problem\+)?json$/.test(contentType) ? JSON.parse(text) : {},
    };
    return answer;
  };
  /** A user with a session. */
  const signIn = async (login: string, grants: readonly Grant[]) => {
    const user = await store.users.create({ login, name: login, grants: [...grants] });
    const expiresAt = new Date(Date.now() + 3_600_000);
    const { token } = await store.sessions.create({ userId: user.id, kind: 'session', expiresAt });
    return { user, token };
  };
  return { deps, store, port: server.port, lines, mysqlUrl, call, signIn };
}

/** The code of a problem. */
export const problemOf = ({ body }: AdminAnswer): string =>
  String(body['type']).replace('urn:message-center:problem:', '');
export const pointersOf = ({ body }: AdminAnswer): string[] | undefined =>
  body.errors?.map(({ pointer }) => pointer);
