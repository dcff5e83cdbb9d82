import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig, redactedConfig, settings } from './config.ts';

describe('configuration', () => {
  it('has a default for everything', () => {
    const config = loadConfig({});
    assert.equal(config.ingestPort, 8000);
    assert.deepEqual(config.masterKeys, []);
    assert.ok(Object.isFrozen(config));
  });

  it('tells all faults at once, by the name one sets', () => {
    const faulty = {
      MC_INGEST_PORT: 'x',
      MC_SLOTS: '0',
      MC_ALLOW_PRIVATE_PROVIDERS: 'yes',
      MC_INGEST_PROT: '1',
    };
    assert.throws(
      () => loadConfig(faulty),
      (error: Error) => Object.keys(faulty).every((name) => error.message.includes(name)),
    );
  });

  it('reads a secret from a file', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'mc-')), 'token');
    writeFileSync(file, 'from-the-file\n');
    assert.equal(loadConfig({ MC_ADMIN_TOKEN_FILE: file }).adminToken, 'from-the-file');
    assert.throws(() => loadConfig({ MC_ADMIN_TOKEN_FILE: `${file}-not` }), /does not exist/);
  });

  it('never shows a secret in the line that is logged', () => {
    const config = loadConfig({
      MC_ADMIN_TOKEN: 'hush',
      MC_MASTER_KEYS: 'k:hush',
      MC_MYSQL_URL: 'mysql://u:hush@h/d',
    });
    assert.ok(!JSON.stringify(redactedConfig(config)).includes('hush'));
    assert.equal(redactedConfig(config)['adminToken'], '(set)');
  });

  it('every setting has a name of its own and a description', () => {
    const names = Object.values(settings).map((setting) => setting.env);
    assert.equal(new Set(names).size, names.length);
    for (const setting of Object.values(settings))
      assert.ok(setting.description.length > 10, setting.env);
  });
});
