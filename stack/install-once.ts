/** Installs what an installation needs before its first message, and ends: the first container, or a deployment's job. */
import { loadConfig } from '../platform/config.ts';
import { createLogger } from '../platform/logger.ts';
import { install } from './install.ts';

const config = loadConfig(process.env);
const logger = createLogger('install', config.logLevel);

await install(config, logger);
logger.info('install.done');
