/** Loaded by path into Temporal clients, workers and the workflow bundle: failure messages are payloads, hence encrypted. */
import { DefaultFailureConverter } from '@temporalio/common';

export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
