/** What the workflow worker registers. */
export { deliver } from './deliver.ts';
export { sequence } from './sequence.ts';
export { deliverChunk } from './deliver-chunk.ts';
