/**
 * `npm run record-histories`: records each path of `tests/delivery-paths.ts` that has no history yet, on a development server
 * of its own. `-- <path> …` records those anew. Never to make a red replay green: runs like the recorded ones are open
 * somewhere when a version is deployed, and what breaks the replay breaks them. Then the change needs `patched()`.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { loadConfig } from '../platform/config.ts';
import { searchAttributes } from '../platform/temporal-client.ts';
import { defaultCacheDir, fetchPrograms } from '../stack/fetch-servers.ts';
import { deliveryPaths } from './delivery-paths.ts';
import {
  bundleWorkflows,
  dataConverter,
  installQuietRuntime,
  recorder,
  startDelivery,
} from './delivery-runs.ts';
import { historyFile, toRecorded, writeHistory } from './histories.ts';
import { until } from './stack.ts';

const given = process.argv.slice(2);
const unknown = given.filter((name) => deliveryPaths[name] === undefined);
if (unknown.length > 0) {
  console.error(`no such path: ${unknown.join(', ')}`);
  process.exit(2);
}
const wanted = Object.entries(deliveryPaths).filter(([name]) =>
  given.length === 0 ? !existsSync(historyFile(name)) : given.includes(name),
);
if (wanted.length === 0) {
  console.log('every path has its history');
  process.exit(0);
}

installQuietRuntime();
const config = loadConfig(process.env);
const [{ temporal: path }, workflowBundle] = await Promise.all([
  fetchPrograms(['temporal'], {
    cacheDir: config.cacheDir === '' ? defaultCacheDir(process.env) : resolve(config.cacheDir),
    onProgress: (line) => console.log(line),
  }),
  bundleWorkflows(),
]);
const environment = await TestWorkflowEnvironment.createLocal({
  server: {
    executable: { type: 'existing-path', path },
    searchAttributes: Object.values(searchAttributes),
    extraArgs: [
      'matching.numTaskqueueReadPartitions=1',
      'matching.numTaskqueueWritePartitions=1',
    ].flatMap((setting) => ['--dynamic-config-value', setting]),
  },
  client: { dataConverter, identity: recorder },
});
try {
  const left = [...wanted];
  // A few at a time: most of what they do is wait, and the development server has one database connection.
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) await record(next);
    }),
  );
} finally {
  await environment.teardown();
}

async function record([
  name,
  { steer, ends, meets, ...of },
]: (typeof wanted)[number]): Promise<void> {
  const delivery = await startDelivery({ ...of, environment, workflowBundle });
  const { side, handle } = delivery;
  const told = async (count: number) => {
    await until(
      `${name} has told ${count} snapshots`,
      () => (side.snapshots.length >= count ? true : undefined),
      { seen: () => side.snapshots },
    );
  };
  try {
    await steer?.(delivery, told);
    await delivery.ended();
    const recorded = toRecorded(await handle.fetchHistory());
    const { events } = recorded;
    const ending = side.snapshots.at(-1)?.status;
    if (ending !== ends || (meets !== undefined && !events.includes(meets)))
      throw new Error(`${name} ended as ${ending} after ${events.join(', ')}; try again`);
    writeHistory(name, recorded);
    console.log(`${name}: ${events.length} events, ends as ${ending}`);
  } finally {
    await delivery.stop();
  }
}
