/** Messages of one ordering key leave one at a time, in the order of their acceptance, whatever happens to each of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';
import type { FaultRule } from '../../channels/sandbox/faults.ts';

// Redelivery of what a killed bridge had in hand comes after this time.
const system = await startSystem({
  connectors: ['inbox-builtin'],
  env: { MC_INVISIBLE_SECONDS: '10' },
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;

let serial = 0;
/** Each message goes to a number of its own, so that no limit per recipient plays a part. */
const newPhone = () => `131${String((serial += 1)).padStart(8, '0')}`;
const numbers = (count: number) => Array.from({ length: count }, (_, number) => number);
const message = (text: string, options: Record<string, unknown> & { readonly phone?: string }) => {
  const { phone = newPhone(), ...more } = options;
  return { to: { phone }, template: 'plain-notice', variables: { text }, ...more };
};
const post = async (body: object, headers?: Record<string, string>) => {
  const answer = await system.call('POST', '/v1/messages', body, headers);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
const postBatch = async (messages: readonly object[]) => {
  const { body } = await system.call('POST', '/v1/messages/batch', { messages });
  assert.equal(body['accepted'], messages.length, JSON.stringify(body));
  return (body['results'] as { id: string }[]).map(({ id }) => id);
};
const reach = (id: string, status: string) => system.untilStatus(id, [status], 90_000);
const resume = (key: string) => system.call('POST', `/v1/ordering-keys/${key}/resume`);
const statusOf = async (id: string) =>
  String((await system.call('GET', `/v1/messages/${id}`)).body['status']);
/** Texts on the phones that begin with this, oldest first. */
const shown = (start: string) =>
  smsAliyun.device
    .find({ order: 'oldest', limit: 10_000 })
    .entries.map(({ text }) => text.slice(text.indexOf('】') + 1))
    .filter((text) => text.startsWith(start));
const untilShown = (start: string, count: number, timeoutMs = 120_000) =>
  until(`${count} of ${start} are shown`, () => shown(start).length >= count || undefined, {
    timeoutMs,
    seen: () => shown(start),
  });
const texts = (start: string, count: number) => numbers(count).map((n) => `${start}${n}.`);
/** The provider takes nothing for this number within the hour; other numbers are not concerned. */
const holdAtProvider = (phone: string) =>
  smsAliyun.faults.add({
    kind: 'error',
    status: 200,
    code: 'isv.BUSINESS_LIMIT_CONTROL',
    message: '触发小时级流控Permits:5',
    to: phone,
    action: 'SendSms',
  });
const refuseAtProvider = (phone: string) =>
  smsAliyun.faults.add({
    kind: 'error',
    status: 200,
    code: 'isv.MOBILE_NUMBER_ILLEGAL',
    to: phone,
    action: 'SendSms',
  });

/** Each run of a key began after the one before it had ended. */
async function assertOneAtATime(ids: readonly string[]): Promise<void> {
  const runs = await Promise.all(
    ids.map((id) => system.temporal.client.workflow.getHandle(id).describe()),
  );
  for (const [index, { closeTime }] of runs.slice(0, -1).entries()) {
    const next = runs[index + 1];
    assert.ok(
      closeTime !== undefined && next !== undefined && closeTime <= next.startTime,
      `${ids[index]} ended at ${closeTime?.toISOString()}, the next began at ${next?.startTime.toISOString()}`,
    );
  }
}

describe('ordered delivery', { concurrency: true }, () => {
  it('five keys, interleaved, while the provider throttles and loses connections: each in order, one at a time, once', async (t) => {
    const faults: Record<number, Pick<FaultRule, 'kind' | 'status' | 'code' | 'headers'>> = {
      3: {
        kind: 'error',
        status: 400,
        code: 'Throttling.User',
        headers: { 'x-acs-retry-after': '700' },
      },
      7: { kind: 'reset' },
      11: { kind: 'accept-then-reset' },
      15: { kind: 'error', status: 200, code: 'isp.SYSTEM_ERROR' },
    };
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const byKey = new Map(keys.map((key) => [key, [] as string[]]));
    for (const number of numbers(20))
      await Promise.all(
        keys.map(async (key) => {
          const phone = newPhone();
          const fault = faults[number];
          if (fault !== undefined)
            smsAliyun.faults.add({ ...fault, nextCalls: 1, to: phone, action: 'SendSms' });
          const id = await post(message(`five-${key}-${number}.`, { phone, orderingKey: key }));
          byKey.get(key)?.push(id);
        }),
      );
    const startedAt = Date.now();
    for (const key of keys) await untilShown(`five-${key}-`, 20);
    t.diagnostic(`100 messages of 5 keys in ${Date.now() - startedAt} ms after the last POST`);
    for (const [key, ids] of byKey) {
      assert.deepEqual(shown(`five-${key}-`), texts(`five-${key}-`, 20));
      await reach(ids.at(-1) ?? '', 'sent');
      await assertOneAtATime(ids);
    }
  });

  it('a head in a long retry holds nobody else; recalled, it lets the next go, and what was recalled behind it is passed over', async () => {
    const phone = newPhone();
    holdAtProvider(phone);
    const head = await post(message('held-0.', { phone, orderingKey: 'held' }));
    const recalled = await post(message('held-1.', { orderingKey: 'held' }));
    const last = await post(message('held-2.', { orderingKey: 'held' }));
    await reach(head, 'retrying');
    await postBatch([
      ...numbers(20).map((n) => message(`beside-${n}.`, { orderingKey: `beside-${n}` })),
      ...numbers(5).map((n) => message(`beside-none-${n}.`, {})),
    ]);
    await untilShown('beside-', 25);
    assert.deepEqual(shown('held-'), []);
    assert.equal(await statusOf(last), 'accepted');

    const recall = (id: string) => system.call('POST', `/v1/messages/${id}/recall`);
    assert.equal((await recall(recalled)).body['status'], 'recalled');
    assert.deepEqual(shown('held-'), []);
    assert.equal((await recall(head)).body['status'], 'recalled');
    await reach(last, 'sent');
    assert.deepEqual(shown('held-'), ['held-2.']);
    assert.equal(await statusOf(recalled), 'recalled');
  });

  it('a head that fails lets the next go', async () => {
    const phone = newPhone();
    refuseAtProvider(phone);
    const [failed = '', next = ''] = await postBatch([
      message('next-0.', { phone, orderingKey: 'next' }),
      message('next-1.', { orderingKey: 'next' }),
    ]);
    await reach(failed, 'failed');
    await reach(next, 'sent');
    assert.equal((await resume('next')).status, 404);
  });

  it('or stops its key until somebody resumes it', async () => {
    const phone = newPhone();
    refuseAtProvider(phone);
    const [failed = '', next = ''] = await postBatch([
      message('stop-0.', { phone, orderingKey: 'stop:1', onOrderFailure: 'stop' }),
      message('stop-1.', { orderingKey: 'stop:1', onOrderFailure: 'stop' }),
      message('stop-2.', { orderingKey: 'stop:1' }),
    ]);
    await reach(failed, 'failed');
    const stopped = await until('the key is listed as stuck', async () => {
      const query = `WorkflowType = 'sequence' AND McState = 'stuck' AND McTenant = '${system.tenantId}'`;
      for await (const run of system.temporal.client.workflow.list({ query })) return run;
      return undefined;
    });
    assert.deepEqual(stopped.memo, { orderingKey: 'stop:1' });
    const { raw } = await system.temporal.client.workflow.getHandle(stopped.workflowId).describe();
    assert.equal(raw.pendingChildren?.length, 0);
    assert.equal(await statusOf(next), 'accepted');
    // A cancel of the sequencer loses nothing of what it holds.
    await system.temporal.client.workflow.getHandle(stopped.workflowId).cancel();

    const never = await resume('never-used');
    assert.equal(never.status, 404);
    assert.equal(never.body['type'], 'urn:message-center:problem:ordering-key-not-stopped');
    const answer = await resume('stop:1');
    assert.deepEqual(
      [answer.status, answer.body],
      [200, { orderingKey: 'stop:1', status: 'resumed' }],
    );
    await untilShown('stop-', 2);
    assert.deepEqual(shown('stop-'), ['stop-1.', 'stop-2.']);
    assert.equal((await resume('stop:1')).status, 404, 'it goes on already');
  });

  it('sendAt holds the key until then', async () => {
    const sendAt = new Date(Date.now() + 20_000).toISOString();
    const [first = '', second = ''] = await postBatch([
      message('later-0.', { orderingKey: 'later', sendAt }),
      message('later-1.', { orderingKey: 'later' }),
    ]);
    await system.untilStatus(first, ['scheduled'], 19_000);
    await reach(second, 'sent');
    assert.deepEqual(shown('later-'), texts('later-', 2));
    const { startTime } = await system.temporal.client.workflow.getHandle(second).describe();
    assert.ok(startTime.getTime() >= Date.parse(sendAt), startTime.toISOString());
  });

  it('a repeat is the same message; another message under its key is told as rejected', async () => {
    const phone = newPhone();
    const body = message('again-0.', { phone, orderingKey: 'again' });
    const headers = { 'Idempotency-Key': 'again' };
    const id = await post(body, headers);
    assert.equal(await post(body, headers), id);
    const other = message('again-1.', { phone, orderingKey: 'again' });
    assert.equal(await post(other, headers), id);
    const last = await post(message('again-2.', { orderingKey: 'again' }));
    await reach(last, 'sent');
    assert.deepEqual(shown('again-'), ['again-0.', 'again-2.']);
    await until('the conflict is told', async () => {
      const path = '/v1/messages?status=rejected&reason=idempotency-conflict';
      const { body: found } = await system.call('GET', path);
      return (found['items'] as unknown[]).length === 1 || undefined;
    });
  });

  it('what a sequencer has no room for waits in RocketMQ, and comes in its turn', async (t) => {
    const phone = newPhone();
    const orderingKey = 'large';
    holdAtProvider(phone);
    const head = await post(message('large', { phone, orderingKey }));
    const userId = 'u-order-large';
    // 20,000 characters of three bytes: about a dozen fill the sequencer.
    const large = (number: number) => `${number} ${'长'.repeat(19_000)}`;
    for (const number of numbers(16))
      await post({
        to: { userId },
        channel: 'inbox',
        template: 'plain-notice',
        variables: { text: large(number) },
        orderingKey,
      });
    const refused = async () => {
      const url = `http://127.0.0.1:${system.config.bridgePort}/metrics`;
      const text = await (await fetch(url)).text();
      return Number(/^messages_ordered_total\{result="full"\} (\d+)/m.exec(text)?.[1] ?? 0);
    };
    await until('one is refused', async () => (await refused()) > 0 || undefined);
    await system.call('POST', `/v1/messages/${head}/recall`);
    const items = await until('all are in the inbox', async () => {
      const { body } = await system.call('GET', `/v1/inbox/${userId}/items?limit=50`);
      const found = body['items'] as Record<string, unknown>[];
      return found.length === 16 ? found : undefined;
    });
    t.diagnostic(`refused ${await refused()} times`);
    const order = items.map((item) => Number(/(\d+) 长/.exec(JSON.stringify(item))?.[1]));
    assert.deepEqual(order.toReversed(), numbers(16));
  });
});

describe('ordered delivery across a kill', () => {
  it('kill -9 of the bridge in the middle keeps each key in order, loses none and doubles none', async (t) => {
    const keys = ['x', 'y', 'z'];
    const ids = new Map<string, string[]>(keys.map((key) => [key, []]));
    const postAll = async (from: number, to: number) => {
      const slice = numbers(to).slice(from);
      const posted = slice.flatMap((number) =>
        keys.map((key) => message(`kill-${key}-${number}.`, { orderingKey: `kill-${key}` })),
      );
      for (const [index, id] of (await postBatch(posted)).entries())
        ids.get(keys[index % keys.length] ?? '')?.push(id);
    };
    await postAll(0, 15);
    await untilShown('kill-', 5);
    const atKill = shown('kill-').length;
    await system.services.bridge.kill();
    await postAll(15, 25);
    await untilShown('kill-', atKill + 5);
    await system.services.bridge.kill();
    await untilShown('kill-', 75);
    t.diagnostic(`killed at ${atKill} and again later, of 75`);
    for (const [key, all] of ids) {
      assert.deepEqual(shown(`kill-${key}-`), texts(`kill-${key}-`, 25));
      await reach(all.at(-1) ?? '', 'sent');
      await assertOneAtATime(all);
    }
  });
});
