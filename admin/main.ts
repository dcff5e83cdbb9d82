/** The process of the administration API. */
import express from 'express';
import { createConnectors } from '../channels/registry.ts';
import type { SealedRequest } from '../contracts/message.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { listen } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPayloadCodec } from '../platform/payload-codec.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { createStore } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { createCodecServer } from './codec-server.ts';
import { oidcOf } from './oidc.ts';
import { createAdminApp, createAuthenticate } from './server.ts';

const config = loadConfig(process.env);
const logger = createLogger('admin', config.logLevel);

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  const { mysqlUrl, slots, allowPrivateProviders, adminToken } = config;
  const sealer = createSealer(config.masterKeys);
  const store = createStore({ mysqlUrl, sealer, slots, logger });
  life.add('store', () => store.close());
  let isMigrated = false;
  const names = createNames(config.prefix);
  const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
  life.add('elasticsearch', () => elasticsearch.close());
  const temporal = connectTemporalClient({
    address: config.temporalAddress,
    namespace: config.temporalNamespace,
    sealer,
  });
  life.add('temporal', () => temporal.close());
  const stopped = new AbortController();
  const app = createAdminApp({
    store,
    search: {
      client: elasticsearch,
      names,
      index: createMessageIndex({ client: elasticsearch, names, logger }),
      logger,
      hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
      stopped: stopped.signal,
      temporal: temporal.client,
      namespace: temporal.namespace,
      ids: createMessageIds(sealer),
      paceSeconds: config.paceSeconds,
      temporalUiUrl: config.temporalUiUrl,
      openRequest: async ({ messageId }, sealed) =>
        JSON.parse(
          (await store.dayKeyRing.open(sealed, messageId)).toString('utf8'),
        ) as SealedRequest,
    },
    connectors: createConnectors({ allowPrivateProviders, ...store.connectorState }),
    logger,
    metrics: createMetrics(),
    adminToken,
    oidc: oidcOf(config, sealer),
    isMigrated: () => isMigrated,
  });
  const outer = express().disable('x-powered-by');
  outer.use(
    '/codec',
    createCodecServer({
      codec: createPayloadCodec(sealer),
      uiOrigin: new URL(config.temporalUiUrl).origin,
      access: config.codecAccess === 'local' ? 'local' : 'token',
      authenticate: createAuthenticate(adminToken, store),
      store,
      logger,
    }),
  );
  outer.use(app);
  const server = await listen(outer, config.host, config.adminPort);
  life.add('http', () => server.close());
  life.add('exports', () => stopped.abort());
  await untilReady('MySQL', logger, () => store.migrate());
  isMigrated = true;
});
