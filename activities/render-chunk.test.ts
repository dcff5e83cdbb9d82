/** What a stop means for a chunk that has not been sent. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Connector } from '../contracts/channel.ts';
import type { Account, Template } from '../contracts/template.ts';
import { toChunk } from '../platform/publish-chunk.ts';
import type { StopVerdict } from '../store/index.ts';
import { sampleAccepted } from '../tests/message-samples.ts';
import { createRenderChunk, type RenderChunkDeps } from './render-chunk.ts';

const times = { acceptedAt: new Date().toISOString(), expiresAt: '2999-01-01T00:00:00.000Z' };
const chunk = toChunk(
  `chk_${'0'.repeat(26)}`,
  Array.from({ length: 3 }, () =>
    sampleAccepted({ ...times, kind: 'marketing', priority: 'bulk', batch: 'bat_1' }),
  ),
);
const connector = {
  addressKinds: ['phone'],
  capabilities: { batch: { maxMessages: 100, content: 'any' } },
} as unknown as Connector;

/** Renders the chunk while its batch has this verdict; nobody's request may be opened. */
function render(verdict: StopVerdict) {
  const never = () => assert.fail('nothing of it is to be sent');
  return createRenderChunk({
    connectors: new Map([[chunk.connector, connector]]),
    account: async () => ({ ratePerSecond: 500 }) as Account,
    currentTemplate: async () => ({ version: 1 }) as Template,
    openRequest: never,
    stopOf: ({ batch }) => (batch === 'bat_1' ? verdict : { verdict: 'go', detail: '' }),
    permits: {} as RenderChunkDeps['permits'],
    optedOut: never,
  })({ chunk });
}

it('a recalled chunk ends at once, without a turn at its account', async () => {
  const { open, alone, ended } = await render({ verdict: 'recalled', detail: 'wrong price' });
  assert.deepEqual([open, alone], [[], []]);
  assert.deepEqual(
    ended,
    [0, 1, 2].map((place) => ({
      place,
      status: 'recalled',
      reason: { code: 'recalled', detail: 'wrong price' },
    })),
  );
});

it('members of a paused chunk are held in runs of their own', async () => {
  const { open, alone, ended } = await render({ verdict: 'paused', detail: 'wrong price' });
  assert.deepEqual([open, ended], [[], []]);
  assert.deepEqual(
    alone.map(({ place }) => place),
    [0, 1, 2],
  );
});
