/** The code of the workflows for their worker: bundled once by `npm run build`, else by each worker as it starts. */
import { statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, type WorkerOptions } from '@temporalio/worker';
import { failureConverterPath } from './temporal-client.ts';

const workflowsPath = fileURLToPath(
  new URL(`../workflows/index.${import.meta.url.slice(-2)}`, import.meta.url),
);
const codePath = fileURLToPath(new URL('../workflows/bundle.cjs', import.meta.url));

/** The bundle, unless the workflows were compiled again since it was made; else what a worker bundles itself. */
export function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  const bundledMs = statSync(codePath, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return bundledMs >= statSync(workflowsPath).mtimeMs
    ? { workflowBundle: { codePath } }
    : { workflowsPath };
}

/** Writes the bundle beside the compiled workflows. */
export async function writeWorkflowBundle(): Promise<void> {
  const logger = new DefaultLogger('WARN');
  const { code } = await bundleWorkflowCode({ workflowsPath, failureConverterPath, logger });
  await writeFile(codePath, code);
}
