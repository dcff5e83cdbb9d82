/** One call says what a message waits for, at every stage of its way, and what a server that is away keeps from us. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;
let serial = 0;
const phone = () => `1371000${String((serial += 1)).padStart(4, '0')}`;
const post = async (to: string, more: object = {}) => {
  const answer = await system.call('POST', '/v1/messages', {
    to: { phone: to },
    template: 'plain-notice',
    variables: { text: `explain ${serial}` },
    ...more,
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
interface Explained {
  readonly status: string;
  readonly waitsFor: { readonly code: string; readonly detail: string };
  readonly nextTryAt?: string;
  readonly ahead?: { readonly about: number };
  readonly run?: { readonly id: string; readonly url: string };
  readonly timeline: readonly { readonly event: string }[];
  readonly missing: readonly string[];
}
const explain = async (id: string) =>
  (await system.call('GET', `/v1/messages/${id}/explain`)).body as unknown as Explained;
const untilWaiting = (id: string, code: string) => {
  let last: Explained;
  return until(
    `${id} waits for ${code}`,
    async () => ((last = await explain(id)).waitsFor.code === code ? last : undefined),
    { timeoutMs: 30_000, seen: () => last },
  );
};

describe('explain', () => {
  it('a retry: why the last attempt failed, and when the next is', async () => {
    const to = phone();
    smsAliyun.faults.add({
      kind: 'error',
      status: 400,
      code: 'Throttling.User',
      headers: { 'x-acs-retry-after': '6000' },
      to,
      action: 'SendSms',
    });
    const id = await post(to);
    const waiting = await untilWaiting(id, 'retry');
    assert.match(waiting.waitsFor.detail, /rate-limited/);
    assert.ok(Date.parse(waiting.nextTryAt ?? '') > Date.now());
    assert.deepEqual(waiting.missing, []);
    assert.equal(waiting.run, undefined, 'the Temporal UI is for people');
    const { body } = await system.admin('GET', `/v1/messages/${id}/explain`);
    const { run, waitsFor } = body as unknown as Explained;
    assert.equal(waitsFor.code, 'retry');
    const { runId } = await system.temporal.client.workflow.getHandle(id).describe();
    assert.equal(run?.id, runId);
    assert.ok(
      run?.url.endsWith(`/namespaces/${system.config.temporalNamespace}/workflows/${id}/${runId}`),
    );
    assert.doesNotMatch(JSON.stringify(body), new RegExp(to));
  });

  it('its time, a pause, and after that nothing', async () => {
    const sendAt = new Date(Date.now() + 3_600_000).toISOString();
    const scheduled = await post(phone(), { sendAt });
    const later = await untilWaiting(scheduled, 'time');
    assert.equal(later.nextTryAt?.slice(0, 16), sendAt.slice(0, 16));

    const stop = await system.call('POST', '/v1/batches/held/pause');
    assert.ok(stop.status < 300, JSON.stringify(stop.body));
    const held = await post(phone(), { batch: 'held' });
    // The run says at once that it is held, the index a second later by whom.
    await until('it says which pause holds it', async () => {
      const { detail } = (await untilWaiting(held, 'pause')).waitsFor;
      return /batch held was paused/.test(detail) || undefined;
    });
    await system.call('POST', '/v1/batches/held/resume');
    await system.untilStatus(held, ['sent'], 60_000);
    const ended = await until('the index knows its end', async () => {
      const seen = await explain(held);
      return seen.timeline.length >= 3 ? seen : undefined;
    });
    assert.equal(ended.waitsFor.code, 'nothing');
    assert.deepEqual(
      ended.timeline.map(({ event }) => event),
      ['accepted', 'attempt', 'sent'],
    );
  });

  it('an account that is stopped, and how many are ahead in its queue', async () => {
    const path = `/v1/channel-accounts/${system.accountId}`;
    const before = await system.admin('GET', path);
    const { name, connector, settings, ratePerSecond } = before.body;
    const edit = { name, connector, settings, ratePerSecond, isStopped: true };
    const etag = before.headers.get('etag') ?? '';
    assert.equal((await system.admin('PUT', path, edit, { 'if-match': etag })).status, 200);
    await until('the limit is in force', async () =>
      (await system.admin('GET', path)).body['limitInForce'] === 0 ? true : undefined,
    );
    const id = await post(phone());
    const waiting = await untilWaiting(id, 'account-stopped');
    assert.match(waiting.waitsFor.detail, /is stopped/);
    assert.ok((waiting.ahead?.about ?? -1) >= 0);
  });
});
