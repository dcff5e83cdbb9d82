/** Recall and pause by scope: once they are answered nothing is begun that they forbid, and what waits ends or is held. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const ratePerSecond = 20;
const count = process.env['MC_BIG'] === 'true' ? 10_000 : 600;

const system = await startSystem({
  ratePerSecond,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;

/** Posts messages to the phones that begin with `prefix`. */
async function post(prefix: string, howMany: number, more: object = {}): Promise<void> {
  const messages = Array.from({ length: howMany }, (_, index) => ({
    to: { phone: `${prefix}${String(index).padStart(11 - prefix.length, '0')}` },
    template: 'plain-notice',
    variables: { text: 'offer' },
    ...more,
  }));
  for (let at = 0; at < howMany; at += 1000) {
    const portion = messages.slice(at, at + 1000);
    const { body } = await system.call('POST', '/v1/messages/batch', { messages: portion });
    assert.equal(body['accepted'], portion.length, JSON.stringify(body).slice(0, 500));
  }
}
/** The provider's calls (it takes each) to phones that begin with `prefix`. */
const callsTo = (prefix: string) =>
  smsAliyun.accepted
    .find({ limit: 100_000, order: 'oldest' })
    .entries.filter(({ phone }) => phone.startsWith(prefix));
const atLeast = (prefix: string, wanted: number) =>
  until(
    `${wanted} calls to ${prefix}…`,
    () => (callsTo(prefix).length >= wanted ? true : undefined),
    { timeoutMs: 150_000, seen: () => callsTo(prefix).length },
  );
const running = async (batch: string) =>
  (
    await system.temporal.client.workflow.count(
      `McTenant = '${system.tenantId}' AND McBatch = '${batch}' AND ExecutionStatus = 'Running'`,
    )
  ).count;
const totalOf = async (status: string) => {
  const { body } = await system.call('GET', `/v1/messages?status=${status}&limit=1`);
  return (body['total'] as { value: number }).value;
};
const inForce = (answer: { status: number; body: Record<string, unknown> }) => {
  assert.ok([200, 201].includes(answer.status), JSON.stringify(answer.body));
  assert.deepEqual(answer.body['missing'], []);
  return answer.body;
};

describe('stops', () => {
  it('a batch is recalled: only calls under way reach the provider, all of it ends, another batch goes on', async (t) => {
    await post('1381', count, { batch: 'spring' });
    await post('1382', 40, { batch: 'summer' });
    await atLeast('1381', 30);
    const askedAt = Date.now();
    inForce(await system.call('POST', '/v1/batches/spring/recall'));
    const answeredAt = Date.now();
    const before = callsTo('1381').length;
    // Behind 2,000 messages at 20/s these would come after 100 s.
    await atLeast('1382', 40);
    const passedMs = Date.now() - answeredAt;
    const recalled = await until(
      'all of the batch has ended',
      async () => {
        if ((await running('spring')) > 0) return undefined;
        const sum = (await totalOf('recalled')) + (await totalOf('sent'));
        return sum === count + 40 ? totalOf('recalled') : undefined;
      },
      {
        timeoutMs: 150_000 + count * 50,
        everyMs: 500,
        seen: async () => [
          await running('spring'),
          await totalOf('recalled'),
          await totalOf('sent'),
        ],
      },
    );
    t.diagnostic(
      `answered after ${answeredAt - askedAt} ms; the other batch through after ${passedMs} ms; ` +
        `${recalled} of ${count} recalled, all ended after ${Date.now() - answeredAt} ms`,
    );
    const after = callsTo('1381').filter(({ at }) => at > answeredAt);
    t.diagnostic(`${before} calls before the answer, ${after.length} under way then`);
    assert.ok(after.length <= 3, `${after.length} calls after the answer`);
    assert.ok(after.every(({ at }) => at - answeredAt < 1000));
    assert.equal(recalled, count - callsTo('1381').length);
    // The name is free again: what is accepted after the recall is sent.
    await post('1383', 1, { batch: 'spring' });
    await atLeast('1383', 1);
  });

  it('a template is paused: nothing of it is sent, wherever it waits; its edit is what is sent once it is resumed', async (t) => {
    await post('1391', 60);
    await atLeast('1391', 10);
    const { tenantId } = system;
    const stop = {
      action: 'pause',
      scope: { kind: 'template', value: 'plain-notice' },
      tenantId,
      reason: 'a typing error in the text',
    };
    const askedAt = Date.now();
    const { id } = inForce(await system.admin('POST', '/v1/stops', stop));
    const answeredAt = Date.now();
    assert.equal(inForce(await system.admin('POST', '/v1/stops', stop))['id'], id, 'paused once');
    const { body } = await system.call('POST', '/v1/messages', {
      to: { phone: '13920000000' },
      template: 'plain-notice',
      variables: { text: 'posted while paused' },
    });
    const heldId = String(body['id']);
    await system.untilStatus(heldId, ['held']);
    // The run says at once that it is held, the index a second later why.
    const reason = await until(
      'it says why it is held',
      async () => (await system.call('GET', `/v1/messages/${heldId}`)).body['reason'],
    );
    assert.deepEqual(reason, {
      code: 'paused',
      detail: 'template plain-notice was paused: a typing error in the text',
    });
    await until('all that wait are held', async () => {
      const waiting = 60 - callsTo('1391').length + 1;
      return (await totalOf('held')) === waiting || undefined;
    });
    const after = callsTo('1391').filter(({ at }) => at > answeredAt).length;
    const waited = 60 - callsTo('1391').length;
    t.diagnostic(
      `answered after ${answeredAt - askedAt} ms, ${after} calls under way then, ${waited} held`,
    );
    assert.ok(after <= 3 && waited > 0, `${after} calls after the answer, ${waited} held`);

    const known = await system.store.templates.findByName(tenantId, 'plain-notice');
    assert.ok(known !== undefined);
    const { id: templateId, version, name, kind, variables, contents } = known.template;
    const corrected = JSON.parse(
      JSON.stringify(contents).replaceAll('{{text}}', 'corrected: {{text}}'),
    ) as typeof contents;
    await system.store.templates.update(templateId, version, {
      edit: { name, kind, variables, contents: corrected },
    });
    // Edits are in force within two seconds.
    await pause(2000);
    const heldCalls = callsTo('1391').length;
    inForce(await system.admin('POST', `/v1/stops/${String(id)}/resume`));
    const resumedAt = Date.now();
    await Promise.all([atLeast('1391', 60), atLeast('1392', 1)]);
    t.diagnostic(`all that was held is sent ${Date.now() - resumedAt} ms after it was resumed`);
    const texts = smsAliyun.device
      .find({ limit: 10_000 })
      .entries.filter(({ phone }) => phone.startsWith('139'))
      .map(({ text }) => text);
    assert.equal(texts.filter((text) => text.includes('corrected: ')).length, 61 - heldCalls);
    assert.equal(texts.length, 61, 'each once');
  });

  it('a worker that hangs does not hold the answer up, and sends nothing of the recalled when it wakes', async (t) => {
    const other = await system.startAnother('worker');
    await post('1361', 300, { batch: 'frozen' });
    await atLeast('1361', 10);
    const pid = other.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      const askedAt = Date.now();
      const { revision } = inForce(await system.call('POST', '/v1/batches/frozen/recall'));
      const answeredMs = Date.now() - askedAt;
      t.diagnostic(`answered after ${answeredMs} ms with one worker of two stopped`);
      assert.ok(answeredMs < 4000, `${answeredMs} ms`);
      const live = await system.store.members.live();
      assert.deepEqual(
        live.map(({ role, confirmed }) => `${role} ${confirmed}`).toSorted(),
        [`bridge ${Number(revision)}`, `worker ${Number(revision)}`],
        'the stopped one counts no more',
      );
    } finally {
      await pause(500);
      process.kill(pid, 'SIGCONT');
    }
    const wokenAt = Date.now();
    await until('it takes part again', async () => {
      return (await system.store.members.live()).length === 3 || undefined;
    });
    await until('all of the batch has ended', async () => {
      return (await running('frozen')) === 0 || undefined;
    });
    const after = callsTo('1361').filter(({ at }) => at > wokenAt).length;
    // What it had in hand before the signal was a call under way.
    t.diagnostic(`${after} calls that were under way in it`);
    assert.ok(after <= 2, `${after} calls`);
    await post('1362', 30);
    await atLeast('1362', 30);
  });

  it('what does not exist cannot be stopped, what is nobody’s yet can; a recall is final', async () => {
    const { tenantId } = system;
    const refused = async (scope: object, more: object = {}) => {
      const answer = await system.admin('POST', '/v1/stops', {
        action: 'pause',
        scope,
        tenantId,
        reason: 'test',
        ...more,
      });
      assert.equal(answer.status, 422, JSON.stringify(answer.body));
      return (answer.body['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);
    };
    for (const kind of ['template', 'account'])
      assert.deepEqual(await refused({ kind, value: 'none' }), ['/scope/value']);
    const none = { kind: 'tenant', value: 'none' };
    assert.deepEqual(await refused(none, { tenantId: 'none' }), ['/scope/value']);
    assert.deepEqual(await refused({ kind: 'batch', value: 'x' }, { tenantId: 'none' }), [
      '/tenantId',
    ]);
    assert.deepEqual(await refused({ kind: 'tenant', value: tenantId }, { tenantId: 'other' }), [
      '/tenantId',
    ]);
    const empty = inForce(await system.call('POST', '/v1/batches/never-posted/recall'));
    const again = await system.admin('POST', `/v1/stops/${String(empty['id'])}/resume`);
    assert.deepEqual(
      [again.status, again.body['type']],
      [409, 'urn:message-center:problem:recall-final'],
    );
    assert.equal((await system.call('POST', '/v1/batches/never-posted/resume')).status, 404);
    const bad = await system.call('POST', "/v1/batches/it's/recall");
    assert.deepEqual(bad.body['errors'] !== undefined && bad.status, 422);
    const listed = await system.admin('GET', `/v1/stops?tenantId=${tenantId}&limit=1`);
    assert.equal((listed.body['items'] as { id: string }[])[0]?.id, empty['id']);
    assert.ok(listed.body['nextCursor'] !== undefined);
  });
});
