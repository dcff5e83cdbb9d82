/** Whatever is posted: no 500, and no answer that is not in the OpenAPI document. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fuzz } from '../schemathesis.ts';
import { testServers } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({ isOneProcess: true, connectors: ['inbox-builtin', 'push-fcm'] });
const { cacheDir } = testServers();
const examples = process.env['MC_BIG'] === 'true' ? 200 : 8;

// At the same time: each calls a process's own routes, one call after the other.
describe('anything that can be posted', { concurrency: true }, () => {
  for (const [name, port, key] of [
    ['ingest', system.config.ingestPort, system.key],
    ['admin', system.config.adminPort, system.adminToken],
  ] as const) {
    it(`to ${name}: the committed OpenAPI document is the one that it serves`, async () => {
      const served = await (await fetch(`http://127.0.0.1:${port}/openapi.json`)).json();
      const committed = new URL(`../../${name}/openapi.json`, import.meta.url);
      assert.deepEqual(served, JSON.parse(await readFile(committed, 'utf8')));
    });

    it(`to ${name} is answered as its OpenAPI document says`, async (t) => {
      const { isGood, report } = await fuzz({
        cacheDir,
        url: `http://127.0.0.1:${port}`,
        authorization: `Bearer ${key}`,
        examples,
        // A stream that does not end by itself.
        without: ['streamInboxEvents'],
      });
      t.diagnostic(report.trim().split('\n').slice(-12).join('\n'));
      // Addresses that it made up may be very long.
      assert.ok(isGood, report.replaceAll(/\S{500,}/g, '…').slice(0, 20_000));
    });
  }
});
