/** What workers register: activities made from what they depend on. */
export { createClients } from './clients.ts';
export { createRender } from './render.ts';
export { createReport } from './report.ts';
export { createOpenRequest } from './sealed-request.ts';
export { createSend } from './send.ts';
export { createTell } from './tell.ts';
