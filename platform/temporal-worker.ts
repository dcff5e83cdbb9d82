/** Temporal for processes that run workers: one native connection, which eager start shares between client and worker. */
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { NativeConnection, Runtime, makeTelemetryFilterString } from '@temporalio/worker';
import {
  createDataConverter,
  createTemporalClient,
  type TemporalOptions,
} from './temporal-client.ts';
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

/** Sets the SDK's logger, once per process before the first connection. Signals are lifecycle's, not the SDK's. */
export function installTemporalRuntime(logger: Logger): void {
  Runtime.install({
    shutdownSignals: [],
    logger: {
      log: (level, message, meta) => logger.debug({ temporal: meta, level }, message),
      trace: (message, meta) => logger.trace({ temporal: meta }, message),
      debug: (message, meta) => logger.debug({ temporal: meta }, message),
      info: (message, meta) => logger.debug({ temporal: meta }, message),
      warn: (message, meta) => logger.warn({ temporal: meta }, message),
      error: (message, meta) => logger.error({ temporal: meta }, message),
    },
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
    },
  });
}
