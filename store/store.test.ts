import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { apiScopes } from '../contracts/api-scopes.ts';
import type { AccountEdit, TemplateEdit } from '../contracts/template.ts';
import { Problem } from '../contracts/problems.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createStore, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'error');
let store: Store;

const open = (slots = 4) => createStore({ mysqlUrl, sealer, slots, logger });
const account = (name: string): AccountEdit => ({
  name,
  connector: 'sms-test',
  settings: { endpoint: 'https://sms.example' },
  secrets: { accessKeySecret: 'top-secret-value' },
  ratePerSecond: 0.5,
});
const template = (name: string, text = '您好 😀'): TemplateEdit => ({
  name,
  kind: 'notice',
  variables: {},
  contents: { 'sms-zz': { text }, 'push-a': { text } },
});
async function refusal(promise: Promise<unknown>): Promise<[code: string, pointer?: string]> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Problem, `expected a problem, got ${String(error)}`);
  return [error.code, error.options.errors?.[0]?.pointer ?? ''];
}

before(async () => {
  const first = [open(), open(), open(), open()];
  await Promise.all(first.map((one) => one.migrate()));
  await Promise.all(first.map((one) => one.close()));
  store = open();
  await store.tenants.create('demo', 'Demo');
});
after(() => store.close());

describe('migrations', () => {
  it('run once, by however many processes and however often', async () => {
    await store.migrate();
    const connection = await mysql.createConnection(mysqlUrl);
    const [rows] = await connection.query('select name from knex_migrations');
    await connection.end();
    assert.deepEqual(rows, [
      { name: '0001-initial' },
      { name: '0002-channels' },
      { name: '0003-inbox' },
      { name: '0004-circuits' },
      { name: '0005-people' },
      { name: '0006-stops' },
      { name: '0007-redrives' },
      { name: '0008-account-weights' },
      { name: '0009-users' },
      { name: '0010-tenant-quotas' },
      { name: '0011-template-reviews' },
      { name: '0012-batches' },
      { name: '0013-result-webhooks' },
      { name: '0014-chunks' },
      { name: '0015-erasures' },
      { name: '0016-block-ways' },
      { name: '0017-batch-rules' },
      { name: '0019-tenant-result-topics' },
      { name: '0020-day-keys' },
      { name: '0021-consents' },
    ]);
  });
  it('go on after a process died while it held the lock', async () => {
    const connection = await mysql.createConnection(mysqlUrl);
    await connection.query('update knex_migrations_lock set is_locked = 1');
    await connection.query("delete from knex_migrations where name = '0001-initial'");
    await connection.end();
    await store.migrate();
    assert.equal((await store.tenants.get('demo'))?.name, 'Demo');
  });
});

describe('tenants and keys', () => {
  it('find a key until it is revoked, and keep no secret in clear', async () => {
    const { key, id } = await store.apiKeys.create('demo', { name: 'shop' });
    assert.match(key, /^mck_[0-9a-z]{10}_[0-9a-z]{52}$/);
    assert.deepEqual(await store.apiKeys.findByKey(key), {
      tenantId: 'demo',
      keyId: id,
      scopes: apiScopes,
    });
    assert.equal(await store.apiKeys.findByKey(`${key.slice(0, -1)}!`), undefined);
    assert.equal(await store.apiKeys.findByKey(key.slice(0, -2) + '00'), undefined);
    const dump = JSON.stringify(await dumpOf('api_keys'));
    assert.ok(!dump.includes(key.split('_')[2] ?? ''));
    assert.equal(await store.apiKeys.revoke('other', id), false);
    assert.equal(await store.apiKeys.revoke('demo', id), true);
    assert.equal(await store.apiKeys.revoke('demo', id), false);
    assert.equal(await store.apiKeys.findByKey(key), undefined);
    assert.equal(typeof (await store.apiKeys.list('demo'))[0]?.revokedAt, 'string');
  });
  it('refuse a tenant id twice', async () => {
    assert.deepEqual(await refusal(store.tenants.create('demo', 'x')), ['name-taken', '/id']);
    assert.equal((await store.tenants.ensure('demo', 'x')).name, 'Demo');
  });
});

describe('templates', () => {
  it('keep every version to the byte, with the order of contents', async () => {
    const made = await store.templates.create(
      'demo',
      template('greeting', 'שלום 𠮷 ' + '漢'.repeat(20_000)),
    );
    const next = await store.templates.update(made.id, 1, { edit: template('greeting', '2') });
    assert.equal(next.version, 2);
    assert.deepEqual(await store.templates.get(made.id), next);
    assert.deepEqual(await store.templates.version('demo', 'greeting', 1), made);
    const read = await store.templates.version('demo', 'greeting', 1);
    assert.deepEqual(Object.keys(read?.contents ?? {}), ['sms-zz', 'push-a']);
  });
  it('let one of two editors of a version through', async () => {
    const made = await store.templates.create('demo', template('raced'));
    const edits = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((text) =>
        store.templates.update(made.id, 1, { edit: template('raced', text) }),
      ),
    );
    assert.equal(edits.filter((edit) => edit.status === 'fulfilled').length, 1);
    assert.equal((await store.templates.get(made.id))?.version, 2);
  });
  it('still render what is queued after a delete, and never reuse a version number', async () => {
    const made = await store.templates.create('demo', template('gone', 'old'));
    await store.templates.remove(made.id, 1);
    assert.equal(await store.templates.get(made.id), undefined);
    assert.deepEqual(await store.templates.version('demo', 'gone', 1), made);
    assert.equal((await store.templates.findByName('demo', 'gone'))?.isDeleted, true);
    const again = await store.templates.create('demo', template('gone', 'new'));
    assert.equal(again.version, 2);
    assert.deepEqual((await store.templates.findByName('demo', 'gone'))?.template, again);
  });
  it('refuse with the field that is at fault', async () => {
    const made = await store.templates.create('demo', template('named'));
    const update = (version: number, name: string) =>
      refusal(store.templates.update(made.id, version, { edit: template(name) }));
    assert.deepEqual(await refusal(store.templates.create('demo', template('named'))), [
      'name-taken',
      '/name',
    ]);
    assert.deepEqual(await update(1, 'renamed'), ['validation-failed', '/name']);
    assert.deepEqual(await update(2, 'named'), ['version-conflict', 'header/if-match']);
    assert.deepEqual(await refusal(store.templates.remove('tpl_none', 1)), ['not-found', '']);
  });
});

describe('channel accounts', () => {
  it('get slots of their own while there are any, however many are made at once', async () => {
    const others = [open(), open(), open()];
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        (others[index % 3] ?? store).channelAccounts.create({
          tenantId: 'demo',
          channel: 'sms',
          edit: account(`slot-${index}`),
        }),
      ),
    );
    const slots = made.map((one) => one.slot).toSorted((a, b) => a - b);
    assert.deepEqual(slots, [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]);
    // A deleted account's lanes may still hold messages: its slot is not free yet.
    const [first] = made.filter((one) => one.slot === 2);
    await store.channelAccounts.remove(first?.id ?? '', 1);
    const next = await store.channelAccounts.create({
      tenantId: 'demo',
      channel: 'sms',
      edit: account('slot-next'),
    });
    assert.equal(next.slot, 2);
    await Promise.all(others.map((other) => other.close()));
  });
  it('seal their secrets, bound to the account', async () => {
    const create = (name: string) =>
      store.channelAccounts.create({ tenantId: 'demo', channel: 'sms', edit: account(name) });
    const [one, two] = [await create('sealed-1'), await create('sealed-2')];
    assert.ok(!('secrets' in one));
    assert.deepEqual((await store.channelAccounts.access(one.id))?.secrets, {
      accessKeySecret: 'top-secret-value',
    });
    assert.ok(!JSON.stringify(await dumpOf('channel_accounts')).includes('top-secret-value'));
    const connection = await mysql.createConnection(mysqlUrl);
    await connection.query(
      'update channel_accounts a join channel_accounts b on b.id = ? set a.secrets = b.secrets where a.id = ?',
      [one.id, two.id],
    );
    await connection.end();
    await assert.rejects(store.channelAccounts.access(two.id));
  });
  it('keep secrets that an edit does not give, and take new ones', async () => {
    const made = await store.channelAccounts.create({
      tenantId: 'demo',
      channel: 'sms',
      edit: account('kept'),
    });
    const { secrets: _, ...edit } = { ...account('kept-2'), isStopped: true };
    const next = await store.channelAccounts.update(made.id, 1, edit);
    assert.deepEqual([next.name, next.isStopped, next.version], ['kept-2', true, 2]);
    const read = async () => (await store.channelAccounts.access(made.id))?.secrets;
    assert.deepEqual(await read(), { accessKeySecret: 'top-secret-value' });
    await store.channelAccounts.update(made.id, 2, { ...edit, secrets: { accessKeySecret: 'n' } });
    assert.deepEqual(await read(), { accessKeySecret: 'n' });
    assert.deepEqual(
      await refusal(store.channelAccounts.update(made.id, 3, { ...edit, connector: 'sms-other' })),
      ['validation-failed', '/connector'],
    );
  });
  it('record the limit in force without being an edit', async () => {
    const made = await store.channelAccounts.create({
      tenantId: 'demo',
      channel: 'sms',
      edit: account('limited'),
    });
    const numbers = await store.revisions.read();
    await store.channelAccounts.setLimitInForce(made.id, 2.5);
    await store.channelAccounts.setLimitInForce(made.id, 2.5);
    const read = await store.channelAccounts.get(made.id);
    assert.deepEqual([read?.limitInForce, read?.version], [2.5, 1]);
    const now = await store.revisions.read();
    assert.equal(now['channel-accounts'], numbers['channel-accounts'] + 1);
  });
});

async function dumpOf(table: string): Promise<unknown> {
  const connection = await mysql.createConnection(mysqlUrl);
  const [rows] = await connection.query(`select * from ${table}`);
  await connection.end();
  return rows;
}
