/** Every recorded history runs through today's workflow as it did when it was recorded: open runs survive the next deploy. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { deliveryPaths } from '../delivery-paths.ts';
import { bundleWorkflows, dataConverter, installQuietRuntime } from '../delivery-runs.ts';
import { historyFile, readHistory } from '../histories.ts';

installQuietRuntime();

/** Path → why its history does not replay; undefined: it does. */
async function replay(
  workflowBundle: WorkflowBundleWithSourceMap,
): Promise<Map<string, Error | undefined>> {
  const histories = Object.keys(deliveryPaths).map((workflowId) => ({
    workflowId,
    history: readHistory(workflowId),
  }));
  const found = new Map<string, Error | undefined>();
  const results = Worker.runReplayHistories({ workflowBundle, dataConverter }, histories);
  for await (const { workflowId, error } of results) found.set(workflowId, error);
  return found;
}
const broken = (results: Map<string, Error | undefined>) =>
  [...results].flatMap(([name, error]) => (error === undefined ? [] : [name]));

describe('recorded histories', () => {
  it('are there for every path; `npm run record-histories` records what is missing', () => {
    assert.deepEqual(
      Object.keys(deliveryPaths).filter((name) => !existsSync(historyFile(name))),
      [],
    );
  });

  it('replay', async () => {
    const results = await replay(await bundleWorkflows());
    assert.equal(results.size, Object.keys(deliveryPaths).length);
    assert.deepEqual(broken(results), [], 'the change needs patched(): docs/operations.md');
  });

  const bundleOf = (name: string) => bundleWorkflows(resolve(`tests/replay/${name}`));

  it('catch an incompatible change', async () => {
    const caught = broken(await replay(await bundleOf('incompatible.ts')));
    console.log(`# caught by ${caught.length} of ${Object.keys(deliveryPaths).length} histories`);
    assert.ok(caught.includes('sent'), 'a step more at its end');
  });

  it('let the same change pass behind patched()', async () => {
    assert.deepEqual(broken(await replay(await bundleOf('patched.ts'))), []);
  });
});
