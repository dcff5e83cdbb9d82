/** The walk of docs/admin.md from an empty system to the first batch: its very commands, one block after the other in one bash. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { inheritedEnv } from '../../stack/services.ts';
import { startSystem } from '../system.ts';

const phones = ['13900001001', '13900001002', '13900001004'];
const blockMs = 60_000;

const system = await startSystem({
  isEmpty: true,
  // As the sandbox is, but for receipts that come at once.
  sandbox: { smsAliyun: { settings: { receiptMedianMs: 100, receiptP99Ms: 500 } } },
});
const { config, sandbox } = system;
/** Where the document's servers are here. */
const addresses: readonly (readonly [written: string, here: string])[] = [
  ['http://127.0.0.1:8000', `http://127.0.0.1:${config.ingestPort}`],
  ['http://127.0.0.1:8001', `http://127.0.0.1:${config.adminPort}`],
  ['http://127.0.0.1:8010', sandbox.url],
  ['http://127.0.0.1:8011', sandbox.controlUrl],
];

interface Step {
  readonly commands: string;
  /** What they print, as the document shows it. */
  readonly shown: string;
}

/** The blocks of the walk: each of commands with the one behind it, of what they print. */
function readSteps(): Step[] {
  const file = readFileSync(new URL('../../docs/admin.md', import.meta.url), 'utf8');
  const [, walk = ''] = file.split('\n## From an empty system to the first batch\n');
  const [section = ''] = walk.split('\n## ');
  const here = addresses.reduce((text, [from, to]) => text.replaceAll(from, to), section);
  const blocks = [...here.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(
    ([, language = '', text = '']) => ({ language, text }),
  );
  const kinds = blocks.map(({ language }) => language);
  assert.deepEqual(
    kinds,
    kinds.map((_, at) => (at % 2 === 0 ? 'sh' : 'text')),
    'commands and what they print, in turn',
  );
  return blocks.flatMap(({ text: commands }, at) =>
    at % 2 === 0 ? [{ commands, shown: blocks[at + 1]?.text ?? '' }] : [],
  );
}

/** `…` stands for anything within a line, and alone in a line for any lines. */
function patternOf(shown: string): RegExp {
  const lines = shown
    .trimEnd()
    .split('\n')
    .map((line) =>
      line.trim() === '…' ? '(?:.*\n)*?' : `${line.split('…').map(escapeRegExp).join('.*')}\n`,
    );
  return new RegExp(`^${lines.join('')}$`);
}
const escapeRegExp = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** One bash, as a person has it open; `run` gives what commands print, errors too. */
function openShell() {
  const cwd = mkdtempSync(join(tmpdir(), 'walk-'));
  const shell = spawn('bash', ['--noprofile', '--norc'], {
    cwd,
    env: { ...inheritedEnv(process.env), MC_ADMIN_TOKEN: system.adminToken },
  });
  const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
  const end = `end-${process.pid}`;
  shell.stdin.write('exec 2>&1\n');
  after(() => {
    shell.kill();
    rmSync(cwd, { recursive: true });
  });
  return async (commands: string): Promise<string> => {
    const timer = setTimeout(() => shell.kill(), blockMs);
    shell.stdin.write(`${commands}echo ${end}\n`);
    let printed = '';
    for (;;) {
      const { done, value = '' } = await lines.next();
      if (done === true)
        assert.fail(`not within ${blockMs} ms:\n${commands}\nprinted:\n${printed}`);
      if (value === end) break;
      printed += `${value.trimEnd()}\n`;
    }
    clearTimeout(timer);
    return printed;
  };
}

describe('the walk of docs/admin.md', () => {
  it('leads from an empty system to a delivered batch, printing what the document shows', async () => {
    const run = openShell();
    const steps = readSteps();
    assert.ok(steps.length >= 12, `${steps.length} steps`);
    for (const { commands, shown } of steps) {
      const printed = await run(commands);
      assert.match(
        printed,
        patternOf(shown),
        `${commands}\nprinted:\n${printed}\nshown:\n${shown}`,
      );
    }
    const { device, accepted } = sandbox.smsAliyun;
    for (const phone of phones) {
      assert.equal(accepted.find({ where: { phone } }).matched, 1, `accepted for ${phone}`);
      assert.equal(device.find({ where: { phone } }).matched, 1, `shown by ${phone}`);
    }
    // And the one of the test send.
    assert.equal(device.find({}).matched, phones.length + 1);
  });

  it('leaves its users, each with what they did, in the audit log', async () => {
    const { body } = await system.admin('GET', '/v1/audit?limit=100&tenantId=shop');
    const operations = (body['items'] as { operationId: string }[]).map(
      ({ operationId }) => operationId,
    );
    for (const operation of ['createTemplate', 'approveTemplateVersion', 'createApiKey'])
      assert.ok(operations.includes(operation), `${operation} of ${operations.join(', ')}`);
  });
});
