/**
 * 100 messages, with MC_BIG=true 200, through every channel while its provider loses answers, resets connections and forgets tokens; then what people
 * see is counted, and held against what docs/channels.md promises.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { demoChannels, type DemoChannel } from '../../channels/demo.ts';
import { createConnectors } from '../../channels/registry.ts';
import type { Simulator } from '../../channels/sandbox/simulator.ts';
import type { FaultPlan, FaultRule } from '../../channels/sandbox/faults.ts';
import { addressOf, type To } from '../../contracts/message.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { lastHopPromise } from '../last-hop.ts';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const perChannel = process.env['MC_BIG'] === 'true' ? 200 : 100;
/** A robot says 20 things a minute, repeats of lost answers among them, and DingTalk then silences it for ten minutes. */
const groups = Array.from({ length: 20 }, (_, index) => `group-${index}`);
const system = await startSystem({
  connectors: 'all',
  slots: 4,
  ratePerSecond: 500,
  sandbox: {
    smsAliyun: { settings: { windows: null, receiptsPaused: true } },
  },
});
const connectors = createConnectors({
  allowPrivateProviders: true,
  tokens: createProviderTokens(),
  inbox: system.store.connectorState.inbox,
});

interface Played extends Simulator {
  readonly faults: FaultPlan;
}
const simulators = new Map(
  Object.values(system.sandbox)
    .filter((value): value is Played => typeof value === 'object' && 'faults' in value)
    .map((simulator) => [simulator.name, simulator]),
);

/** Faults that lose an answer although the message was taken: each may cost one repeat, no more. */
const losing = [
  'accept-then-reset',
  'accept-then-error',
  'accept-then-hang',
  'html-200',
  'slow-body',
] as const;
const rules: readonly FaultRule[] = [
  { kind: 'accept-then-hang', nextCalls: 2 },
  { kind: 'accept-then-reset', rate: 0.04 },
  { kind: 'accept-then-error', rate: 0.03, status: 500 },
  { kind: 'reset', rate: 0.03 },
  { kind: 'error', rate: 0.04 },
];

/** Another address of the same form. */
function addressFor({ to }: DemoChannel, index: number): To {
  const { kind, value } = addressOf(to);
  const serial = String(index).padStart(6, '0');
  if (kind === 'group') return { group: groups[index % groups.length] ?? '' };
  if (kind === 'endpoint') return to;
  if (kind === 'email') return { email: `person${serial}@example.com` };
  return { [kind]: value.slice(0, -6) + serial } as To;
}

const marker = (connector: string, index: number) => `every ${connector} ${index} end`;

/** How often people see each message now, by marker. */
async function seenBy(demo: DemoChannel): Promise<Map<string, number>> {
  const texts =
    demo.connector === 'inbox-builtin'
      ? await inboxTexts(demo)
      : (simulators.get(demo.simulator)?.shown(1_000_000) ?? []).map(({ text }) => text);
  const counts = new Map<string, number>();
  for (const text of texts) {
    const found = /every [a-z-]+ \d+ end/.exec(text)?.[0];
    if (found !== undefined) counts.set(found, (counts.get(found) ?? 0) + 1);
  }
  return counts;
}

async function inboxTexts(demo: DemoChannel): Promise<string[]> {
  const texts: string[] = [];
  for (let index = 0; index < perChannel; index += 1) {
    const { value } = addressOf(addressFor(demo, index));
    const { body } = await system.call('GET', `/v1/inbox/${value}/items`);
    for (const item of body['items'] as { body: string }[]) texts.push(item.body);
  }
  return texts;
}

/** Messages of a connector that have come to an end, by status. */
async function ended(connector: string): Promise<Record<string, number>> {
  const account = system.accountIds.get(connector);
  const counts: Record<string, number> = {};
  for (const status of ['sent', 'delivered', 'read', 'failed', 'unknown', 'expired']) {
    const { body } = await system.call(
      'GET',
      `/v1/messages?account=${account}&status=${status}&limit=1`,
    );
    const { value } = body['total'] as { value: number };
    if (value > 0) counts[status] = value;
  }
  return counts;
}

describe('every channel', () => {
  before(async () => {
    await giveRobots();
    for (const { name, faults } of simulators.values())
      for (const rule of rules)
        // A mail server's usual 451 asks for minutes of patience, as greylisting does.
        faults.add(
          rule.kind === 'error' && name === 'email-smtp' ? { ...rule, code: '421 4.3.2' } : rule,
        );
    for (const demo of demoChannels) {
      const body = await until(`ingest knows the groups of ${demo.connector}`, async () => {
        const answer = await system.call('POST', '/v1/messages/batch', {
          messages: Array.from({ length: perChannel }, (_, index) => ({
            to: addressFor(demo, index),
            channel: demo.connector,
            template: 'plain-notice',
            variables: { text: marker(demo.connector, index) },
          })),
        });
        assert.ok(answer.status === 202, JSON.stringify(answer.body).slice(0, 500));
        return answer.body;
      });
      assert.equal(body['accepted'], perChannel, JSON.stringify(body).slice(0, 500));
    }
    // Half-way every token that was given out becomes stale.
    await pause(20_000);
    for (const simulator of simulators.values())
      (simulator as Partial<{ revokeTokens(): void }>).revokeTokens?.();
    const deadline = Date.now() + 600_000;
    for (const { connector } of demoChannels)
      for (;;) {
        const counts = await ended(connector);
        const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
        // What has not ended by then is told by its own channel's test.
        if (total >= perChannel || Date.now() > deadline) break;
        await pause(1000);
      }
    // Customers see a task once an employee has confirmed it.
    system.sandbox.wecom.confirmTasks();
  });

  for (const demo of demoChannels) {
    const connector = connectors.get(demo.connector);
    assert.ok(connector !== undefined, demo.connector);
    const promise = lastHopPromise(connector.capabilities);
    it(`${demo.connector}: ${promise}`, async (t) => {
      const seen = await seenBy(demo);
      const played = simulators.get(demo.simulator)?.faults.played() ?? {};
      const lost = losing.reduce((sum, kind) => sum + (played[kind] ?? 0), 0);
      const missing: string[] = [];
      let doubled = 0;
      for (let index = 0; index < perChannel; index += 1) {
        const count = seen.get(marker(demo.connector, index)) ?? 0;
        if (count === 0) missing.push(marker(demo.connector, index));
        doubled += Math.max(0, count - 1);
      }
      const statuses = await ended(demo.connector);
      t.diagnostic(
        `${perChannel} sent, ${perChannel - missing.length} seen, ${doubled} seen again, ${lost} answers lost at its provider, ${JSON.stringify(statuses)}`,
      );
      assert.deepEqual(missing, []);
      if (promise === 'at least once') assert.ok(doubled <= lost, `${doubled} of ${lost}`);
      else assert.equal(doubled, 0);
      const good = (statuses['sent'] ?? 0) + (statuses['delivered'] ?? 0) + (statuses['read'] ?? 0);
      assert.equal(good, perChannel, JSON.stringify(statuses));
    });
  }

  it('no member of WeCom got more than the provider delivers: our limit kept the silent drop at zero', async () => {
    const answer = await fetch(`${system.sandbox.controlUrl}/wecom/dropped`);
    assert.equal(answer.status, 200);
    assert.equal(((await answer.json()) as { count: number }).count, 0);
  });
});

/** A robot of each kind for every group. */
async function giveRobots(): Promise<void> {
  const control = async (path: string, body: unknown) => {
    const answer = await fetch(system.sandbox.controlUrl + path, {
      method: 'PUT',
      body: JSON.stringify(body),
    });
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
  };
  const edit = async (connector: string, secrets: object) => {
    const account = (await system.store.channelAccounts.list(system.tenantId, { limit: 100 })).find(
      (each) => each.connector === connector,
    );
    assert.ok(account !== undefined);
    const { id, version, name, ratePerSecond, settings } = account;
    const changed = { ...(settings as object), groups };
    await system.store.channelAccounts.update(id, version, {
      name,
      connector,
      ratePerSecond,
      settings: changed,
      secrets,
    });
  };
  const robots = groups.map((group, index) => ({
    group,
    accessToken: `sandbox-robot-token-${index}`,
    hookId: `00000000-0000-4000-8000-1000000000${String(index).padStart(2, '0')}`,
    secret: `SECsecret${index}`,
  }));
  for (const { group, accessToken, hookId, secret } of robots) {
    await control('/robot-dingtalk/robots', { group, accessToken, secret });
    await control('/robot-feishu/robots', { group, hookId, secret });
    await control('/wecom/robots', { group, key: hookId });
  }
  const by = <Value>(valueOf: (robot: (typeof robots)[number]) => Value) =>
    Object.fromEntries(robots.map((robot) => [robot.group, valueOf(robot)]));
  await edit('robot-dingtalk', {
    robots: by(({ accessToken, secret }) => ({ accessToken, secret })),
  });
  await edit('robot-feishu', { robots: by(({ hookId, secret }) => ({ hookId, secret })) });
  await edit('wecom-robot', { keys: by(({ hookId }) => hookId) });
}
