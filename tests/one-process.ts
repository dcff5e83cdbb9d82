/** The services that TEST_SERVICES names in one process: each as its own main.ts starts it. */
import type { ServiceName } from '../stack/services.ts';

const mains: Partial<Record<ServiceName, () => Promise<unknown>>> = {
  ingest: () => import('../ingest/main.ts'),
  bridge: () => import('../bridge/main.ts'),
  worker: () => import('../worker/main.ts'),
  indexer: () => import('../indexer/main.ts'),
  jobs: () => import('../jobs/main.ts'),
  admin: () => import('../admin/main.ts'),
};
const wanted = (process.env['TEST_SERVICES'] ?? '').split(' ') as ServiceName[];
await Promise.all(wanted.map(async (name) => mains[name]?.()));
