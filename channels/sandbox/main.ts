/** The sandbox as a process: simulated providers for development, tests and first steps. Never for production. */
import { loadConfig } from '../../platform/config.ts';
import { runProcess } from '../../platform/lifecycle.ts';
import { createLogger } from '../../platform/logger.ts';
import { startSandbox } from './start-sandbox.ts';

const config = loadConfig(process.env);
const logger = createLogger('sandbox', config.logLevel);

await runProcess(logger, async (life) => {
  const sandbox = await startSandbox({
    host: config.host,
    port: config.sandboxPort,
    controlPort: config.sandboxControlPort,
    ownPorts: { 'push-apns': config.sandboxApnsPort, 'email-smtp': config.sandboxSmtpPort },
    ...(config.sandboxReceiptUrls !== '' && {
      receiptUrls: JSON.parse(config.sandboxReceiptUrls) as Record<string, string>,
    }),
  });
  life.add('sandbox', sandbox.close);
  logger.info({ providersUrl: sandbox.url, controlUrl: sandbox.controlUrl }, 'sandbox.listening');
});
