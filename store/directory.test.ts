import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { apiScopes } from '../contracts/api-scopes.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import { Problem } from '../contracts/problems.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { createLine } from '../tests/line.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createDirectory, createStore, type Directory, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const inForce = { timeoutMs: 2000, everyMs: 20 };

let editor: Store;
let reader: Store;
let directory: Directory;
let line: Awaited<ReturnType<typeof createLine>>;
const directories: Directory[] = [];

const template = (name: string, text: string): TemplateEdit => ({
  name,
  kind: 'notice',
  variables: {},
  contents: { 'sms-test': { text } },
});
const makeAccount = (tenantId: string, name: string) =>
  editor.channelAccounts.create({ tenantId, channel: 'sms', edit: accountEdit(name) });
const accountEdit = (name: string) => ({
  name,
  connector: 'sms-test',
  settings: {},
  secrets: { key: 'top-secret-value' },
  ratePerSecond: 1,
});
const isUnavailable = (error: unknown) =>
  error instanceof Problem &&
  error.code === 'store-unavailable' &&
  error.options.retryAfterSeconds === 2;
function follow(store = reader): Directory {
  const made = createDirectory({ store, logger });
  directories.push(made);
  return made;
}

before(async () => {
  const url = new URL(mysqlUrl);
  line = await createLine(url.hostname, Number(url.port || 3306));
  url.hostname = '127.0.0.1';
  url.port = String(line.port);
  editor = createStore({ mysqlUrl, sealer, slots: 4, logger });
  reader = createStore({ mysqlUrl: url.toString(), sealer, slots: 4, logger });
  await editor.migrate();
  await editor.tenants.create('demo', 'Demo');
  directory = follow();
  await directory.start();
});
after(async () => {
  await Promise.all(directories.map((one) => one.close()));
  await Promise.all([editor.close(), reader.close()]);
  await line.cut();
});

describe('the directory', () => {
  it('finds at once what was made a moment ago, and remembers no miss', async () => {
    assert.equal(await directory.template('demo', 'fresh'), undefined);
    const made = await editor.templates.create('demo', template('fresh', '1'));
    assert.deepEqual(await directory.template('demo', 'fresh'), made);
    const { key, id } = await editor.apiKeys.create('demo', { name: 'k' });
    assert.deepEqual(await directory.findCaller(key), {
      tenantId: 'demo',
      keyId: id,
      scopes: apiScopes,
    });
    assert.equal(await directory.findCaller(`${key}x`), undefined);
    assert.equal(await directory.findCaller('nonsense'), undefined);
    assert.deepEqual(await directory.accountsOf('demo'), []);
    const account = await makeAccount('demo', 'first');
    assert.deepEqual(await directory.account(account.id), account);
    assert.deepEqual(await directory.accountsOf('demo'), [account]);
    assert.deepEqual((await directory.access(account.id))?.secrets, { key: 'top-secret-value' });
  });
  it('has a revoked key, an edited template and a stopped account in force within 2 s', async () => {
    const { key, id } = await editor.apiKeys.create('demo', { name: 'k' });
    const made = await editor.templates.create('demo', template('edited', '1'));
    const account = await makeAccount('demo', 'stopped');
    await directory.findCaller(key);
    await directory.template('demo', 'edited');
    const before = await directory.access(account.id);
    const seen = new Set<string>();
    const stop = directory.onChange(({ ids }) => ids.forEach((changed) => seen.add(changed)));
    await editor.apiKeys.revoke('demo', id);
    await editor.templates.update(made.id, 1, { edit: template('edited', '2') });
    const edit = { ...accountEdit('stopped'), secrets: { key: 'next' }, isStopped: true };
    await editor.channelAccounts.update(account.id, 1, edit);
    await until(
      'all edits are in force',
      async () => {
        const { version } = (await directory.template('demo', 'edited')) ?? {};
        const { isStopped } = (await directory.account(account.id)) ?? {};
        const caller = await directory.findCaller(key);
        return (version === 2 && isStopped === true && caller === undefined) || undefined;
      },
      inForce,
    );
    assert.notEqual(await directory.access(account.id), before);
    assert.deepEqual((await directory.access(account.id))?.secrets, { key: 'next' });
    await until(
      'told of all',
      () => [id, made.id, account.id].every((one) => seen.has(one)) || undefined,
      inForce,
    );
    stop();
  });
  it('forgets what is deleted, but not for messages on their way', async () => {
    const made = await editor.templates.create('demo', template('deleted', 'old'));
    const account = await makeAccount('demo', 'deleted');
    await directory.template('demo', 'deleted');
    await editor.templates.remove(made.id, 1);
    await editor.channelAccounts.remove(account.id, 1);
    await until(
      'both are gone',
      async () => {
        const live = [
          await directory.template('demo', 'deleted'),
          await directory.account(account.id),
        ];
        return live.every((one) => one === undefined) || undefined;
      },
      inForce,
    );
    assert.equal(await directory.access(account.id), undefined);
    assert.ok((await directory.allAccounts()).every((one) => one.id !== account.id));
    assert.deepEqual(await directory.lastTemplate('demo', 'deleted'), made);
    assert.deepEqual(await directory.templateVersion('demo', 'deleted', 1), made);
    const again = await editor.templates.create('demo', template('deleted', 'new'));
    assert.deepEqual(await directory.template('demo', 'deleted'), again);
    assert.deepEqual(await directory.templateVersion('demo', 'deleted', 1), made);
  });
  it('limits how often strangers make it read', async () => {
    const asked = Array.from({ length: 500 }, (_, index) =>
      directory.findCaller(`mck_${String(index).padStart(10, '0')}_${'a'.repeat(52)}`),
    );
    const codes = (await Promise.allSettled(asked)).map((one) =>
      one.status === 'fulfilled' ? one.value : (one.reason as Problem).code,
    );
    assert.ok(codes.includes('rate-limited'));
    assert.ok(codes.every((code) => code === undefined || code === 'rate-limited'));
  });

  describe('with the database away', () => {
    it('serves what it knows, says store-unavailable of the rest, and follows again', async () => {
      const { key } = await editor.apiKeys.create('demo', { name: 'k' });
      const made = await editor.templates.create('demo', template('cached', '1'));
      const account = await makeAccount('demo', 'cached');
      const pinned = await directory.templateVersion('demo', 'edited', 1);
      const cold = follow();
      // Nothing was asked for: the mirror holds it all the same.
      await until(
        'mirrored',
        () =>
          (directory.onChange(() => {}) &&
            (directory.lastReadAt() ?? 0) > Date.parse(account.createdAt)) ||
          undefined,
        inForce,
      );
      await line.cut();
      assert.equal((await directory.findCaller(key))?.tenantId, 'demo');
      assert.deepEqual(await directory.template('demo', 'cached'), made);
      assert.deepEqual(await directory.templateVersion('demo', 'cached', 1), made);
      assert.deepEqual(await directory.templateVersion('demo', 'edited', 1), pinned);
      assert.equal((await directory.access(account.id))?.id, account.id);
      assert.ok((await directory.accountsOf('demo')).length > 0);
      const unknown = `mck_zzzzzzzzzz_${'a'.repeat(52)}`;
      await assert.rejects(directory.findCaller(unknown), isUnavailable);
      await assert.rejects(directory.template('demo', 'unknown'), isUnavailable);
      await assert.rejects(directory.account('acc_unknown'), isUnavailable);
      await assert.rejects(directory.accountsOf('nobody'), isUnavailable);
      await assert.rejects(reader.ping(), isUnavailable);
      await assert.rejects(reader.migrate(), isUnavailable);

      await cold.start();
      assert.equal(cold.lastReadAt(), undefined);
      assert.equal(cold.isStale(), true);
      await assert.rejects(cold.findCaller(key), isUnavailable);
      await assert.rejects(cold.allAccounts(), isUnavailable);
      await until('stale', () => directory.isStale(1500) || undefined, { timeoutMs: 4000 });

      const edited = await editor.templates.update(made.id, 1, { edit: template('cached', '2') });
      await line.mend();
      await until(
        'followed',
        async () => {
          const { version } = (await directory.template('demo', 'cached')) ?? {};
          return (version === edited.version && !cold.isStale()) || undefined;
        },
        { timeoutMs: 4000 },
      );
      assert.equal((await cold.findCaller(key))?.tenantId, 'demo');
    });
    it('does not wait long for a server that takes connections and says nothing', async () => {
      await line.deafen();
      const startedAt = Date.now();
      await assert.rejects(directory.template('demo', 'unknown'), isUnavailable);
      assert.ok(Date.now() - startedAt < 3000);
      await line.cut();
      await line.mend();
      await until('back', () => directory.template('demo', 'cached'), { timeoutMs: 8000 });
    });
  });
});
