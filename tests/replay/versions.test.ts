/** A run that is open goes on under the next version of the workflows, once that is set current. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { lookAgainSignal } from '../../contracts/workflows.ts';
import { loadConfig } from '../../platform/config.ts';
import { fetchPrograms } from '../../stack/fetch-servers.ts';
import {
  accepted,
  bundleWorkflows,
  dataConverter,
  installQuietRuntime,
  rendered,
  startDelivery,
} from '../delivery-runs.ts';
import { freshPrefix, testServers, until } from '../stack.ts';

installQuietRuntime();
const { temporalAddress: address, cacheDir } = testServers();
const { temporalNamespace: namespace } = loadConfig({});
const deployment = freshPrefix();
const [environment, workflowBundle, { temporal: program }] = await Promise.all([
  TestWorkflowEnvironment.createFromExistingServer({
    address,
    namespace,
    client: { dataConverter },
  }),
  bundleWorkflows(),
  fetchPrograms(['temporal'], { cacheDir, onProgress: console.log }),
]);
after(() => environment.teardown());

const versionOf = (buildId: string) =>
  loadConfig({ MC_TEMPORAL_DEPLOYMENT: deployment, MC_TEMPORAL_BUILD_ID: buildId });
/** As a deploy does it; the server refuses until it has seen a worker of that version. */
const setCurrent = (buildId: string) =>
  until(`${buildId} is current`, async () => {
    const command = ['worker', 'deployment', 'set-current-version', '--yes'];
    const version = ['--deployment-name', deployment, '--build-id', buildId];
    const at = ['--address', address, '--namespace', namespace];
    await promisify(execFile)(program, [...command, ...version, ...at], { timeout: 30_000 });
    return true;
  });

describe('worker versioning', () => {
  it('a held run that began under one version is sent by the next', async () => {
    const delivery = await startDelivery({
      environment,
      workflowBundle,
      version: versionOf('v1'),
      script: {
        renders: [{ next: 'hold', reason: { code: 'paused' } }, rendered()],
        answers: { acc_sms: [accepted('p')] },
      },
    });
    try {
      const { handle, side } = delivery;
      const untilUnder = (buildId: string) =>
        until(`its last workflow task ran under ${buildId}`, async () => {
          const { versioningInfo } = (await handle.describe()).raw.workflowExecutionInfo ?? {};
          return versioningInfo?.deploymentVersion?.buildId === buildId ? true : undefined;
        });
      await setCurrent('v1');
      await until('it is held', () => (side.snapshots.length > 0 ? true : undefined));
      await untilUnder('v1');
      await delivery.addVersion(versionOf('v2'));
      await setCurrent('v2');
      await handle.signal(lookAgainSignal);
      await delivery.ended();
      assert.deepEqual(
        side.snapshots.map(({ status }) => status),
        ['held', 'sending', 'sent'],
      );
      await untilUnder('v2');
    } finally {
      await delivery.stop();
    }
  });
});
