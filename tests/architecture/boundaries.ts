/** Which module may import which of ours. ARCHITECTURE.md prints this table; boundaries.test.ts holds the code to it. */
export const boundaries: Readonly<Record<string, readonly string[]>> = {
  contracts: [],
  workflows: ['contracts'],
  templates: ['contracts'],
  platform: ['contracts'],
  channels: ['contracts', 'platform'],
  store: ['contracts', 'platform'],
  search: ['contracts', 'templates', 'store', 'platform'],
  activities: ['contracts', 'templates', 'store', 'platform'],
  ingest: ['contracts', 'templates', 'store', 'platform', 'channels', 'search'],
  bridge: ['contracts', 'templates', 'store', 'platform', 'activities'],
  indexer: ['contracts', 'store', 'platform'],
  worker: ['contracts', 'templates', 'store', 'platform', 'activities'],
  jobs: ['contracts', 'templates', 'store', 'platform', 'channels'],
  admin: ['contracts', 'templates', 'store', 'platform', 'channels', 'search'],
  stack: ['contracts', 'store', 'platform', 'channels'],
  bench: ['contracts', 'store', 'platform', 'channels', 'stack'],
};

/** Only through this file, and only its folder's `index.ts` or `registry.ts`, do others enter. */
export const entrances: Readonly<Record<string, readonly string[]>> = {
  channels: ['registry.ts', 'demo.ts'],
  activities: ['index.ts'],
  templates: ['index.ts'],
  search: ['index.ts'],
  store: ['index.ts', 'message-index.ts'],
};
