/** What the workflow worker registers. */
export { deliver } from './deliver.ts';
