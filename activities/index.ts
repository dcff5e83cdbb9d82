/** What workers register: activities made from what they depend on. */
export { createAccountHealth } from './account-health.ts';
export { createClients } from './clients.ts';
export { createLanguageOf } from './choose-locale.ts';
export { createPermit, type PermitDeps } from './permit.ts';
export { createRender } from './render.ts';
export { createReport } from './report.ts';
export { createOpenRequest } from './sealed-request.ts';
export { createSend } from './send.ts';
export { createTell } from './tell.ts';
export { createRenderChunk } from './render-chunk.ts';
export { createReportChunk } from './report-chunk.ts';
export { createSendChunk } from './send-chunk.ts';
