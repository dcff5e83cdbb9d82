/** The process of the administration API. */
import express from 'express';
import { createConnectors } from '../channels/registry.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { listen } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPayloadCodec } from '../platform/payload-codec.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { createCodecServer } from './codec-server.ts';
import { createAdminApp } from './server.ts';

const config = loadConfig(process.env);
const logger = createLogger('admin', config.logLevel);

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  const { mysqlUrl, slots, allowPrivateProviders, adminToken } = config;
  const sealer = createSealer(config.masterKeys);
  const store = createStore({ mysqlUrl, sealer, slots, logger });
  life.add('store', () => store.close());
  let isMigrated = false;
  const app = createAdminApp({
    store,
    connectors: createConnectors({ allowPrivateProviders, ...store.connectorState }),
    logger,
    metrics: createMetrics(),
    adminToken,
    isMigrated: () => isMigrated,
  });
  const outer = express().disable('x-powered-by');
  outer.use(
    '/codec',
    createCodecServer({
      codec: createPayloadCodec(sealer),
      uiOrigin: new URL(config.temporalUiUrl).origin,
      access: config.codecAccess === 'local' ? 'local' : 'token',
      adminToken,
      logger,
    }),
  );
  outer.use(app);
  const server = await listen(outer, config.host, config.adminPort);
  life.add('http', () => server.close());
  await untilReady('MySQL', logger, () => store.migrate());
  isMigrated = true;
});
