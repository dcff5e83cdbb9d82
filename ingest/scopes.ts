/** Which scope of an API key each route needs: the one place where it is decided. */
import type { ApiScope } from '../contracts/api-scopes.ts';
import { problem } from '../contracts/problems.ts';
import type { Route } from '../platform/http.ts';
import type { Caller } from './server.ts';

/** operationId → scope. A route that is not here is refused to everybody. */
export const routeScopes: Readonly<Record<string, ApiScope>> = {
  postMessage: 'messages:send',
  postMessages: 'messages:send',
  getMessage: 'messages:read',
  searchMessages: 'messages:read',
  countMessages: 'messages:read',
  exportMessages: 'messages:read',
  queryMessages: 'messages:read',
  explainMessage: 'messages:read',
  recallMessage: 'messages:recall',
  redriveMessage: 'messages:recall',
  recallBatch: 'messages:recall',
  pauseBatch: 'messages:recall',
  resumeBatch: 'messages:recall',
  createBatch: 'batches',
  listBatches: 'batches',
  getBatch: 'batches',
  uploadRecipients: 'batches',
  listBatchFaults: 'batches',
  startBatch: 'batches',
  getBatchResults: 'batches',
  createWebhookEndpoint: 'webhooks',
  listWebhookEndpoints: 'webhooks',
  getWebhookEndpoint: 'webhooks',
  putWebhookEndpoint: 'webhooks',
  deleteWebhookEndpoint: 'webhooks',
  rotateWebhookSecret: 'webhooks',
  listWebhookAttempts: 'webhooks',
  testWebhookEndpoint: 'webhooks',
  replayWebhooks: 'webhooks',
  resumeOrderingKey: 'messages:recall',
  putPerson: 'people',
  getPerson: 'people',
  removePerson: 'people',
  registerDevice: 'people',
  listDevices: 'people',
  removeDevice: 'people',
  putSuppression: 'people',
  querySuppressions: 'people',
  removeSuppression: 'people',
  recordConsent: 'people',
  queryConsent: 'people',
  listConsentHistory: 'people',
  listConsents: 'people',
  getConsent: 'people',
  erasePerson: 'people',
  getErasure: 'people',
  createInboxToken: 'inbox',
  listInboxItems: 'inbox',
  countUnreadInboxItems: 'inbox',
  readInboxItem: 'inbox',
  unreadInboxItem: 'inbox',
  archiveInboxItem: 'inbox',
  unarchiveInboxItem: 'inbox',
  readAllInboxItems: 'inbox',
  streamInboxEvents: 'inbox',
};

/** Whether this caller may call this route. Errors: the problem forbidden, which names the scope that is needed. */
export function authorize(caller: Caller, { operationId }: Pick<Route, 'operationId'>): void {
  const needed = routeScopes[operationId];
  if (needed === undefined)
    throw problem('forbidden', { detail: `No scope opens ${operationId}.` });
  // A person's token opens their inbox and nothing else.
  const held = caller.person === undefined ? caller.scopes : (['inbox'] as const);
  if (held?.includes(needed) === true) return;
  throw problem('forbidden', {
    detail: `This needs a key with the scope "${needed}".`,
    errors: [{ pointer: 'header/authorization', detail: `lacks the scope "${needed}"` }],
  });
}
