/** Temporal for processes that run workers: one native connection, which eager start shares between client and worker. */
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { LogLevel, LogMetadata } from '@temporalio/common';
import {
  NativeConnection,
  Runtime,
  makeTelemetryFilterString,
  type WorkerOptions,
} from '@temporalio/worker';
import {
  createDataConverter,
  createTemporalClient,
  type TemporalOptions,
} from './temporal-client.ts';
import type { Config } from './config.ts';
import type { Logger } from './logger.ts';

export interface TemporalWorkerLink {
  readonly connection: NativeConnection;
  readonly client: Client;
  readonly namespace: string;
  readonly dataConverter: DataConverter;
  close(): Promise<void>;
}

/** Connects to the frontend. Errors: it does not answer. */
export async function connectTemporalWorker(options: TemporalOptions): Promise<TemporalWorkerLink> {
  // Workers sit beside the frontend; gzip costs more than it saves there.
  const connection = await NativeConnection.connect({
    address: options.address,
    grpcCompression: { codec: 'none' },
  });
  return {
    connection,
    client: createTemporalClient(connection, options),
    namespace: options.namespace,
    dataConverter: createDataConverter(options.sealer),
    close: () => connection.close(),
  };
}

/**
 * How a workflow worker takes part in worker versioning: not at all without a build id. Open runs go on under the version
 * that is current, since deliveries outlive many deploys; what they cannot replay needs `patched()`.
 */
export function versioningOf(
  of: Pick<Config, 'temporalDeployment' | 'temporalBuildId'>,
): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  const { temporalDeployment: deploymentName, temporalBuildId: buildId } = of;
  if (buildId === '') return {};
  return {
    workerDeploymentOptions: {
      version: { deploymentName, buildId },
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
    },
  };
}

let isInstalled = false;

/** Sets the SDK's logger, before the process's first connection; the first one stays. Signals are lifecycle's, not the SDK's. */
export function installTemporalRuntime(logger: Logger): void {
  if (isInstalled) return;
  isInstalled = true;
  Runtime.install({
    shutdownSignals: [],
    logger: {
      log: (level, message, meta) => tell(logger, level)(message, meta),
      trace: tell(logger, 'TRACE'),
      debug: tell(logger, 'DEBUG'),
      info: tell(logger, 'INFO'),
      warn: tell(logger, 'WARN'),
      error: tell(logger, 'ERROR'),
    },
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
    },
  });
}

/** The SDK's line as one of ours, its chatter as debug. Never its traces: they hold decrypted payloads. */
function tell(logger: Logger, level: LogLevel) {
  return (message: string, temporal?: LogMetadata): void => {
    switch (level) {
      case 'TRACE':
        return;
      case 'DEBUG':
      case 'INFO':
        return logger.debug({ temporal }, message);
      case 'WARN':
        return logger.warn({ temporal }, message);
      case 'ERROR':
        return logger.error({ temporal }, message);
    }
  };
}
