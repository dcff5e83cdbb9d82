/** Ingest as several processes behind one port. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { demoTemplates } from '../../stack/seed.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({ processes: ['ingest'], env: { MC_INGEST_PROCESSES: '2' } });
const api = `http://127.0.0.1:${system.config.ingestPort}`;
const { ingest } = system.services;

/** Those that do the work, by process id. */
function workers(): readonly number[] {
  const { pid } = ingest;
  if (pid === undefined) return [];
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).map(Number);
}

const perSecond = 60;

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const message = {
  to: { phone: '13812345678' },
  template: 'plain-notice',
  variables: { text: 'x' },
};
/** Over a connection of its own, so that they are dealt out. */
const post = () => system.call('POST', '/v1/messages', message, { connection: 'close' });

/** How many messages were answered 202, as any of them says. */
async function accepted(): Promise<number> {
  const text = await (await fetch(`${api}/metrics`, { headers: { connection: 'close' } })).text();
  const line = /^http_request_duration_seconds_count\{.*operation="postMessage".*\} (\d+)$/m.exec(
    text,
  );
  return Number(line?.[1] ?? 0);
}

describe('ingest as two processes', () => {
  it('both take messages, and either tells the metrics of both', async () => {
    assert.equal(workers().length, 2);
    const answers = await Promise.all(Array.from({ length: 20 }, post));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [202]);
    const seen = await Promise.all(Array.from({ length: 6 }, accepted));
    assert.deepEqual([...new Set(seen)], [20]);
  });

  it('a quota per second is theirs together, over whichever connection its messages come', async (t) => {
    const tenantId = `quota-${system.tenantId}`;
    await system.store.tenants.create(tenantId, 'Test');
    for (const template of demoTemplates) await system.store.templates.create(tenantId, template);
    const account = await system.store.channelAccounts.get(system.accountId);
    assert.ok(account !== undefined);
    await system.store.channelAccounts.create({
      tenantId,
      channel: 'sms',
      edit: {
        name: 'other',
        connector: 'sms-aliyun',
        settings: account.settings,
        secrets: {},
        ratePerSecond: 10,
      },
    });
    await system.store.tenantQuotas.put(tenantId, 1, { total: { perSecond } });
    const { key } = await system.store.apiKeys.create(tenantId, { name: 'test' });
    const headers = { authorization: `Bearer ${key}` };
    const batch = { messages: Array.from({ length: 200 }, () => message) };
    const take = async (connection: string) => {
      const path = '/v1/messages/batch';
      const answer = await system.call('POST', path, batch, { ...headers, connection });
      return Number(answer.body['accepted']);
    };
    await until('the quota is in force', async () => {
      const { headers: said } = await system.call('POST', '/v1/messages', message, headers);
      return said.has('ratelimit') || undefined;
    });
    await setTimeout(1100);
    const startedAt = Date.now();
    // One connection gets all of it, not the part of one process.
    const alone = await take('keep-alive');
    const together = await Promise.all(Array.from({ length: 6 }, () => take('close')));
    const most = perSecond * (1 + (Date.now() - startedAt) / 1000);
    const all = together.reduce((sum, each) => sum + each, alone);
    t.diagnostic(`${alone} over one connection, ${all} of at most ${Math.ceil(most)} in all`);
    assert.ok(alone >= perSecond, `${alone} of ${perSecond}`);
    assert.ok(all <= most + 1, `${all} of ${most}`);
  });

  it('one is killed: the other goes on, and it is started again', async () => {
    const [victim = 0, other] = workers();
    process.kill(victim, 'SIGKILL');
    await until('it is gone', async () => !isAlive(victim) || undefined);
    const answers = await Promise.all(Array.from({ length: 10 }, post));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [202]);
    const now = await until('another takes its place', async () => {
      const pids = workers();
      return pids.length === 2 ? pids : undefined;
    });
    assert.ok(other !== undefined && now.includes(other) && !now.includes(victim));
  });

  it('the first one is killed: none is left behind, and all come back', async () => {
    const before = workers();
    await ingest.kill();
    await until('all of them end', async () => !before.some(isAlive) || undefined);
    await ingest.ready(60_000);
    assert.equal((await post()).status, 202);
    assert.ok(!workers().some((pid) => before.includes(pid)));
  });
});
