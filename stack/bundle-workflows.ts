/** Closes `npm run build`: bundles the compiled workflows, which saves every start of a bridge seconds. */
import { writeWorkflowBundle } from '../platform/workflow-code.ts';

await writeWorkflowBundle();
