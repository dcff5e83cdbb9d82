/** What the members of a chunk want, on the real database: at render, and last thing before the batch call. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it, mock } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import type {
  ChunkReport,
  RenderChunkResult,
  SendChunkInput,
} from '../contracts/chunk-activities.ts';
import type { ChunkMessage } from '../contracts/chunk.ts';
import type { Connector, SendRequest } from '../contracts/channel.ts';
import type { To } from '../contracts/message.ts';
import type { Template } from '../contracts/template.ts';
import type { TenantPolicyEdit } from '../contracts/tenant-policy.ts';
import { createLogger } from '../platform/logger.ts';
import { encodeBase32 } from '../platform/message-id.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore, type ConsentPlace } from '../store/index.ts';

import { sampleId } from '../tests/message-samples.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createAccountHealth } from './account-health.ts';
import { createRenderChunk } from './render-chunk.ts';
import { createOpenRequest } from './sealed-request.ts';
import { createSendChunk } from './send-chunk.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const logger = createLogger('test', 'silent');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 1, logger });
const tenantId = 'shop';
const place = { tenantId, channel: 'sms' };
const hash = (to: To) => hashRecipient(sealer, tenantId, to);

const sent: string[] = [];
const connector: Connector = {
  ...plainConnector,
  capabilities: { ...plainConnector.capabilities, batch: { maxMessages: 100, content: 'any' } },
};
const client = {
  ...connector.createClient({} as never),
  sendBatch: async (requests: readonly SendRequest[]) => {
    for (const { to } of requests) sent.push((to as { phone: string }).phone);
    return requests.map(() => ({ class: 'accepted' as const, providerId: 'p' }));
  },
};
const template = {
  id: 'tpl_1',
  tenantId,
  name: 'campaign',
  kind: 'marketing',
  version: 1,
  variables: {},
  contents: { 'sms-test': { text: 'sale' } },
} as unknown as Template;

const shared = {
  openRequest: createOpenRequest(store.dayKeyRing),
  stopOf: () => ({ verdict: 'go', detail: '' }) as const,
  policy: (id: string) => store.tenantPolicies.get(id),
  consentsOf: (of: ConsentPlace, hashes: readonly string[]) => store.consents.newest(of, hashes),
  optedOut: (of: typeof place, hashes: readonly string[]) => store.optOuts.outOf(of, hashes),
  logger,
};
const renderChunk = createRenderChunk({
  ...shared,
  connectors: new Map([[connector.name, connector]]),
  account: async () => ({ ratePerSecond: 500 }) as never,
  currentTemplate: async () => template,
  permits: {
    ...shared,
    connectors: new Map([[connector.name, connector]]),
    personOf: (key) => store.people.get(key),
    suppressionsOf: (id, hashes) => store.suppressions.of(id, hashes),
    isOptedOut: (person) => store.optOuts.isOut(person),
    admitRecipient: (request) => store.recipientCounters.admit(request),
    hash: (_tenantId, to) => hash(to),
  },
});
const sendChunk = createSendChunk({
  ...shared,
  clients: { of: async () => ({ connector, client }), close: async () => {} },
  health: createAccountHealth(),
  templateVersion: async () => template,
  tell: { attempt: async () => {}, accountAtFault: async () => {} },
  claims: store.chunkClaims,
  admitRecipients: (of, deliveries) => store.recipientCounters.admitAll(of, deliveries),
});

let serial = 0;
/** A chunk to phones that nobody has had. */
function chunkOf(members: number): { chunk: ChunkMessage; people: { phone: string }[] } {
  const people = Array.from({ length: members }, () => ({
    phone: `1360000${String((serial += 1)).padStart(4, '0')}`,
  }));
  const chunk: ChunkMessage = {
    version: 1,
    kind: 'chunk',
    ...place,
    template: 'campaign',
    messageKind: 'marketing',
    id: `chk_${encodeBase32(Buffer.alloc(16, serial))}`,
    priority: 'bulk',
    acceptedAt: new Date().toISOString(),
    expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    connector: connector.name,
    accountId: 'acc_1',
    members: people.map((to) => {
      const id = sampleId();
      const sealed = sealer.seal(JSON.stringify({ to, variables: {} }), id);
      const recipient = { recipientHash: hash(to), recipientMasked: '136****' };
      return { id, requestHash: 'f'.repeat(64), ...recipient, sealed };
    }),
  };
  return { chunk, people };
}
const record = (to: To, action: 'granted' | 'withdrawn') =>
  store.consents.record({
    ...place,
    to,
    action,
    recipientHash: hash(to),
    purpose: 'marketing',
    source: 'test',
    occurredAt: new Date().toISOString(),
  });
async function setPolicy(policy: Partial<TenantPolicyEdit>): Promise<void> {
  const { version } = await store.tenantPolicies.get(tenantId);
  await store.tenantPolicies.put(tenantId, version, { timeZone: 'Asia/Shanghai', ...policy });
}
const endsOf = ({ ended }: Pick<RenderChunkResult, 'ended'>) =>
  ended
    .toSorted((one, other) => one.place - other.place)
    .map((end) => [end.place, end.status, end.reason?.code]);
const send = (chunk: ChunkMessage, open: readonly number[]) =>
  new MockActivityEnvironment().run<[SendChunkInput], ChunkReport, typeof sendChunk>(sendChunk, {
    chunk,
    open,
    templateVersion: 1,
  });

before(() => store.migrate());
beforeEach(() => {
  sent.length = 0;
});
after(() => store.close());

describe('the members of a chunk of marketing', () => {
  it('go each by their own consent, and by what they said since', async () => {
    await setPolicy({ requiresConsent: [{ kinds: ['marketing'] }] });
    const { chunk, people } = chunkOf(4);
    const [first, second, third] = people;
    assert.ok(first && second && third);
    await record(first, 'granted');
    await record(second, 'granted');
    await record(third, 'withdrawn');
    const rendered = await renderChunk({ chunk });
    assert.deepEqual(rendered.open, [0, 1]);
    assert.deepEqual(endsOf(rendered), [
      [2, 'suppressed', 'consent-withdrawn'],
      [3, 'suppressed', 'no-consent'],
    ]);
    await record(second, 'withdrawn');
    const report = await send(chunk, rendered.open);
    assert.deepEqual(sent, [first.phone]);
    assert.deepEqual(endsOf(report), [
      [0, 'sent', undefined],
      [1, 'suppressed', 'consent-withdrawn'],
    ]);
  });

  it('are left out who opted out, before the render or after it', async () => {
    await setPolicy({});
    const { chunk, people } = chunkOf(3);
    const optOut = (to: To | undefined) => {
      assert.ok(to);
      const occurredAt = new Date().toISOString();
      const word = { isOut: true, how: 'reply-td', occurredAt };
      return store.optOuts.record({ ...place, recipientHash: hash(to), ...word });
    };
    await optOut(people[0]);
    const rendered = await renderChunk({ chunk });
    assert.deepEqual(rendered.open, [1, 2]);
    assert.deepEqual(endsOf(rendered), [[0, 'suppressed', 'opted-out']]);
    await optOut(people[2]);
    const report = await send(chunk, rendered.open);
    assert.deepEqual(sent, [people[1]?.phone]);
    assert.deepEqual(endsOf(report), [
      [1, 'sent', undefined],
      [2, 'suppressed', 'opted-out'],
    ]);
  });

  it('go on alone through quiet hours, in runs that hold them', async () => {
    await setPolicy({ quietHours: { from: '22:00', to: '08:00', kinds: ['marketing'] } });
    mock.timers.enable({ apis: ['Date'], now: Date.parse('2026-11-21T23:00:00+08:00') });
    try {
      const { chunk } = chunkOf(2);
      const rendered = await renderChunk({ chunk });
      assert.deepEqual([rendered.open, rendered.ended], [[], []]);
      assert.deepEqual(
        rendered.alone.map(({ place: at, attempts }) => [at, attempts]),
        [
          [0, 0],
          [1, 0],
        ],
      );
      mock.timers.setTime(Date.parse('2026-11-22T08:00:00+08:00'));
      assert.deepEqual((await renderChunk({ chunk })).open, [0, 1]);
    } finally {
      mock.timers.reset();
    }
  });

  it('are capped each for themselves', async () => {
    await setPolicy({ frequencyCaps: [{ kinds: ['marketing'], count: 1, windowSeconds: 3600 }] });
    const { chunk } = chunkOf(2);
    assert.deepEqual((await renderChunk({ chunk })).open, [0, 1]);
    const member = chunk.members[0];
    assert.ok(member);
    const id = sampleId();
    const again = {
      ...chunk,
      id: `chk_${encodeBase32(Buffer.alloc(16, 200))}`,
      members: [{ ...member, id, sealed: sealer.seal(sealer.open(member.sealed, member.id), id) }],
    };
    assert.deepEqual(endsOf(await renderChunk({ chunk: again })), [
      [0, 'suppressed', 'frequency-capped'],
    ]);
  });
});
