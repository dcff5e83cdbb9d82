import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createStore } from './index.ts';

const logger = createLogger('test', 'silent');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const open = (mysqlUrl: string) => createStore({ mysqlUrl, sealer, slots: 1, logger });
const dayMs = 86_400_000;

const ownerUrl = await testMysqlUrl();
const database = new URL(ownerUrl).pathname.slice(1);
const owner = open(ownerUrl);
const rootUrl = new URL(ownerUrl);
rootUrl.username = 'root';
rootUrl.password = '';
const root = await mysql.createConnection(rootUrl.toString());
before(() => owner.migrate());
after(async () => {
  await owner.close();
  await root.end();
});

const intent = { operationId: 'deleteTemplate', tenantId: 'shop', requestId: 'r' };
/** Entries as if they had been written so many days ago. */
async function add(count: number, daysAgo: number): Promise<void> {
  const at = new Date(Date.now() - daysAgo * dayMs);
  const rows = Array.from({ length: count }, () => [at, 'deleteTemplate', 'shop', 'r']);
  await root.query('insert into audit_log (at, operation_id, tenant_id, request_id) values ?', [
    rows,
  ]);
}
const counted = async () => (await owner.audit.list({}, { limit: 1000 })).length;
const purges = () => owner.audit.list({ operationId: 'purgeAudit' }, { limit: 100 });

describe('the audit log', () => {
  it('loses what is older than it is kept, in portions, each written down with it', async () => {
    const beforeMs = Date.now() - 30 * dayMs;
    await add(5, 31.5);
    await add(4, 30.5);
    await add(3, 29);
    assert.equal(await owner.audit.purge(beforeMs - 2 * dayMs, 4), 0);
    assert.equal(await counted(), 12);
    assert.equal(await owner.audit.purge(beforeMs, 4), 4);
    assert.equal(await owner.audit.purge(beforeMs, 4), 4);
    assert.equal(await owner.audit.purge(beforeMs, 4), 0, 'the last one is not a day over');
    const entries = await purges();
    assert.equal(await counted(), 12 - 8 + entries.length);
    assert.deepEqual(
      entries.map(({ actor, status, after: state }) => [
        actor?.id,
        status,
        (state as { removed: number }).removed,
      ]),
      [
        ['jobs', 200, 4],
        ['jobs', 200, 4],
      ],
    );
    assert.equal(await owner.audit.purge(Date.now() - 29.2 * dayMs, 100), 1);
    assert.equal((await owner.audit.list({ tenantId: 'shop' }, { limit: 100 })).length, 3);
  });

  it('is only added to under the rights of docs/operations.md, while the service works', async () => {
    const users = { mc_service: '', mc_jobs: '' };
    const password = randomBytes(9).toString('hex');
    for (const name of Object.keys(users) as (keyof typeof users)[])
      users[name] = `${name}_${randomBytes(3).toString('hex')}`;
    const named = (sql: string) =>
      sql
        .replaceAll('message_center', database)
        .replaceAll('…', password)
        .replaceAll(/mc_service|mc_jobs/g, (name) => users[name as keyof typeof users]);
    for (const sql of statementsOf('audit-rights')) await root.query(named(sql));
    for (const name of ['mc_service', 'mc_jobs']) {
      const [found] = await root.query(
        named(statementsOf('audit-rights-others').join('').replace('mc_service', name)),
      );
      for (const { statement } of found as { statement: string }[]) await root.query(statement);
    }
    const urlOf = (name: keyof typeof users) => {
      const url = new URL(ownerUrl);
      url.username = users[name];
      url.password = password;
      return url.toString();
    };
    const service = open(urlOf('mc_service'));
    const jobs = open(urlOf('mc_jobs'));
    const connection = await mysql.createConnection(urlOf('mc_service'));
    try {
      // Nothing is left to migrate: it needs no more rights than that.
      await service.migrate();
      await service.tenants.create('shop', 'Shop');
      const id = await service.audit.begin({ ...intent, before: { name: 'campaign' } });
      await service.audit.end(id, { status: 204, targetId: 'tpl_1' });
      const [entry] = await service.audit.list({}, { limit: 1 });
      assert.deepEqual([entry?.id, entry?.status, entry?.target], [id, 204, undefined]);

      const refused = [
        `delete from audit_log where number = ${id}`,
        `update audit_log set before_state = null where number = ${id}`,
        `update audit_log set actor_id = 'usr_other' where number = ${id}`,
        `update audit_log set status = 403 where number = ${id}`,
        'truncate table audit_log',
        'drop table audit_log',
        'drop trigger audit_log_ends_once',
      ];
      for (const sql of refused)
        await assert.rejects(
          connection.query(sql),
          { code: /DENIED|SIGNAL_EXCEPTION|SPECIFIC_ACCESS/ },
          sql,
        );
      await assert.rejects(service.audit.purge(Date.now() + 9 * dayMs, 10));
      assert.deepEqual((await service.audit.list({}, { limit: 1 }))[0], entry);
      assert.equal(await jobs.audit.purge(Date.now() + 9 * dayMs, 1), 1);
    } finally {
      await connection.end();
      await service.close();
      await jobs.close();
      for (const name of Object.values(users)) await root.query(`drop user '${name}'@'%'`);
    }
  });
});

/** The statements of a block of SQL in the operators' page. */
function statementsOf(block: string): string[] {
  const page = readFileSync('docs/operations.md', 'utf8');
  const [, text = ''] = page.split(`\`\`\`sql ${block}\n`);
  const [sql = ''] = text.split('```');
  // A trigger's body has a semicolon of its own before "end if".
  return sql
    .split(/;\n/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}
