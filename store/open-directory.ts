/** The way every process begins: the store's directory, once MySQL answers. */
import { untilReady, type Lifecycle } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { createDirectory, type Directory } from './directory.ts';
import type { Store } from './index.ts';

/** Adds store and directory to the process's life. Waits for MySQL as long as it takes, and says so. */
export async function openDirectory(
  life: Lifecycle,
  { store, logger }: { readonly store: Store; readonly logger: Logger },
): Promise<Directory> {
  life.add('store', () => store.close());
  const directory = createDirectory({ store, logger });
  life.add('directory', () => directory.close());
  await untilReady('MySQL', logger, () => store.ping());
  await directory.start();
  return directory;
}
