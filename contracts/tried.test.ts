import assert from 'node:assert/strict';
import { test } from 'node:test';
import { triedAfter, triedTogether } from './tried.ts';

test('every word is there once, in the order in which it came', () => {
  const attempts = [
    { outcome: 'transient', providerCode: 'isp.SYSTEM_ERROR' },
    { outcome: 'rate-limited', providerCode: 'isv.BUSINESS_LIMIT_CONTROL' },
    { outcome: 'transient', providerCode: 'isp.SYSTEM_ERROR' },
    { outcome: 'accepted' },
  ] as const;
  assert.deepEqual(attempts.reduce(triedAfter, {}), {
    attemptOutcomes: ['transient', 'rate-limited', 'accepted'],
    providerCodes: ['isp.SYSTEM_ERROR', 'isv.BUSINESS_LIMIT_CONTROL'],
  });
  assert.deepEqual(triedAfter({}, undefined), {});
  const first = { attemptOutcomes: ['transient'] };
  assert.deepEqual(triedTogether(first, { attemptOutcomes: ['accepted', 'transient'] }), {
    attemptOutcomes: ['transient', 'accepted'],
  });
});

test('a provider that answers something else each time fills no document', () => {
  const codes = Array.from({ length: 50 }, (_, place) => `request-${place}`);
  const { providerCodes } = codes
    .map((providerCode) => ({ outcome: 'transient', providerCode }) as const)
    .reduce(triedAfter, {});
  assert.deepEqual(providerCodes, codes.slice(0, 10));
});
