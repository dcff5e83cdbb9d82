import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { apiScopes } from '../contracts/api-scopes.ts';
import { Problem } from '../contracts/problems.ts';
import { authorize, routeScopes } from './scopes.ts';

type Operations = Record<string, { operationId: string; security?: unknown }>;
const { paths } = JSON.parse(readFileSync(new URL('openapi.json', import.meta.url), 'utf8')) as {
  paths: Record<string, Operations>;
};
const protectedRoutes = Object.values(paths)
  .flatMap((operations) => Object.values(operations))
  .filter(({ security }) => security !== undefined)
  .map(({ operationId }) => operationId);

describe('scopes of routes', () => {
  it('every route that needs a key has one, and no other', () => {
    assert.deepEqual(Object.keys(routeScopes).toSorted(), protectedRoutes.toSorted());
  });

  it('a route that is not listed is refused, whatever the key', () => {
    const caller = { tenantId: 'demo', keyId: 'k', scopes: apiScopes };
    assert.throws(
      () => authorize(caller, { operationId: 'somethingNew' }),
      (error) => error instanceof Problem && error.code === 'forbidden',
    );
  });

  it('a person opens inboxes and nothing else', () => {
    const person = { userId: 'u-1', expiresAtMs: Date.now() + 1000 };
    authorize({ tenantId: 'demo', person }, { operationId: 'listInboxItems' });
    assert.throws(
      () => authorize({ tenantId: 'demo', person }, { operationId: 'getPerson' }),
      /"people"/,
    );
  });
});
