/** What nobody can open any more ends, once and for good; a store that is away is waited for. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { SendReport } from '../contracts/activities.ts';
import type { ChunkReport } from '../contracts/chunk-activities.ts';
import type { ChunkMessage } from '../contracts/chunk.ts';
import { problem } from '../contracts/problems.ts';
import { DataExpired } from '../platform/day-key.ts';
import { createLogger } from '../platform/logger.ts';

import { sampleAccepted } from '../tests/message-samples.ts';
import { createAccountHealth } from './account-health.ts';
import { createRender } from './render.ts';
import { createRenderChunk } from './render-chunk.ts';
import { createSend } from './send.ts';
import { createSendChunk } from './send-chunk.ts';
import type { OpenRequest } from './sealed-request.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const connector = { ...plainConnector, capabilities: { ...plainConnector.capabilities } };
const batching = {
  ...connector,
  capabilities: { ...connector.capabilities, batch: { most: 100, content: 'any' as const } },
};
const message = sampleAccepted({ connector: 'sms-test', kind: 'notice', priority: 'normal' });
const template = {
  name: 'login-code',
  version: 1,
  variables: {},
  contents: { 'sms-test': { text: 'hi' } },
};
/** Requests whose key is gone are sealed so. */
const gone = 'gone';
const openRequest: OpenRequest = async ({ sealed }) => {
  if (sealed === gone) throw new DataExpired();
  if (sealed === 'away') throw problem('store-unavailable');
  return { to: { phone: `1390000${sealed}` }, variables: {} };
};
const go = { verdict: 'go', detail: '' };
const shared = {
  connectors: new Map([['sms-test', batching]]),
  hasAccount: async () => true,
  account: async () => ({ ratePerSecond: 500 }),
  currentTemplate: async () => template,
  templateVersion: async () => template,
  openRequest,
  permit: async () => ({ next: 'go' }),
  permits: {
    policy: async () => ({}),
    suppressionsOf: async () => [],
    connectors: new Map(),
    hash: () => 'h',
  },
  optedOut: async () => new Set<string>(),
  stopOf: () => go,
  health: createAccountHealth(),
  tell: { attempt: async () => {}, accountAtFault: async () => {} },
  claims: { begin: async () => [], find: async () => undefined, callOff: async () => {} },
  policy: async () => ({ requiresConsent: [] }),
  admitRecipients: async (_of: object, all: readonly object[]) =>
    all.map(() => ({ admitted: true })),
  logger: createLogger('test', 'silent'),
} as never;
const calls: string[] = [];
const sendDeps = {
  ...(shared as object),
  clients: {
    of: async () => ({
      connector: batching,
      client: {
        sendBatch: async (requests: readonly { to: { phone: string } }[]) => {
          calls.push(...requests.map(({ to }) => to.phone));
          return requests.map(() => ({ class: 'accepted', providerId: 'p' }));
        },
      },
    }),
  },
} as never;

async function failureOf(run: Promise<unknown>): Promise<ApplicationFailure> {
  const error: unknown = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ApplicationFailure, String(error));
  return error;
}
const send = (sealed: string, attempt: number) =>
  failureOf(
    new MockActivityEnvironment({ attempt, currentAttemptScheduledTimestampMs: Date.now() }).run(
      createSend(sendDeps),
      {
        message: { ...message, sealed },
        templateVersion: 1,
        redrive: 0,
        round: 0,
        toldBefore: 0,
        callsBefore: 0,
        hasStandIn: true,
      },
    ),
  );
const chunkOf = (...sealed: string[]): ChunkMessage => {
  const {
    id: _id,
    kind,
    sealed: _sealed,
    requestHash,
    recipientMasked,
    metadata,
    ...rest
  } = message;
  return {
    ...rest,
    version: 1,
    kind: 'chunk',
    id: 'chk_1',
    messageKind: kind,
    priority: 'bulk',
    members: sealed.map((each, place) => ({
      id: `msg_${place}`,
      requestHash,
      recipientHash: `hash-${place}`,
      recipientMasked,
      metadata,
      sealed: each,
    })),
  };
};

describe('a message whose key is destroyed', () => {
  it('ends at render as failed, on every way', async () => {
    const rendered = await createRender(shared)({ message: { ...message, sealed: gone } });
    assert.ok(rendered.next === 'end');
    assert.deepEqual([rendered.status, rendered.reason.code], ['failed', 'data-expired']);
    await assert.rejects(createRender(shared)({ message: { ...message, sealed: 'away' } }));
  });

  it('ends at send for good; one that may have been sent as unknown', async () => {
    const first = await send(gone, 1);
    assert.deepEqual([first.type, first.nonRetryable], ['data-expired', true]);
    const [said] = (first.details ?? []) as SendReport[];
    assert.equal(said?.reason?.code, 'data-expired');
    const unheard = await send(gone, 2);
    assert.deepEqual([unheard.type, unheard.nonRetryable], ['outcome-unknown', true]);
    const away = await send('away', 1);
    assert.deepEqual([away.type, away.nonRetryable], ['internal-error', false]);
  });

  it('leaves its chunk, which goes on without it', async () => {
    const chunk = chunkOf('1111', gone, '2222');
    const rendered = await createRenderChunk(shared)({ chunk });
    assert.deepEqual(
      rendered.ended.map(({ place, status, reason }) => [place, status, reason?.code]),
      [[1, 'failed', 'data-expired']],
    );
    const report: ChunkReport = await new MockActivityEnvironment({ attempt: 1 }).run(
      createSendChunk(sendDeps),
      {
        chunk,
        open: [0, 1, 2],
        templateVersion: 1,
      },
    );
    assert.deepEqual(
      report.ended
        .toSorted((a, b) => a.place - b.place)
        .map(({ place, status, reason }) => [place, status, reason?.code]),
      [
        [0, 'sent', undefined],
        [1, 'failed', 'data-expired'],
        [2, 'sent', undefined],
      ],
    );
    assert.deepEqual(calls, ['13900001111', '13900002222']);
  });
});
