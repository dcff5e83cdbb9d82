/** What people and services ask about messages, for ingest and admin alike. */
export { countRedrive, RedriveCountSchema } from './count-redrive.ts';
export { deadLetterRoute } from './dead-letters.ts';
export { explainRoute, type ExplainDeps } from './explain/explain.ts';
export { messageRoutes } from './routes.ts';
export type { SearchDeps } from './audience.ts';
export { replayFilter, ReplayFilterSchema } from './replay/filter.ts';
export { replayTemplate, ReplayedSchema, type ReplayDeps } from './replay/replay-template.ts';
