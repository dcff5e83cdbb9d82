/** How both processes of the bare runs reach Temporal: with our codec. */
import { createLogger } from '../../platform/logger.ts';
import { createSealer } from '../../platform/seal.ts';
import { connectTemporalWorker, installTemporalRuntime } from '../../platform/temporal-worker.ts';

export interface BareLinkOptions {
  readonly address: string;
  readonly namespace: string;
  readonly masterKeys: readonly string[];
}

/** Connects. Errors: the frontend does not answer. */
export function connectBare({ address, namespace, masterKeys }: BareLinkOptions) {
  installTemporalRuntime(createLogger('bench', 'error'));
  return connectTemporalWorker({ address, namespace, sealer: createSealer(masterKeys) });
}
