/** The code keeps to the boundaries, the documents tell them, and a new channel touches what it should. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, normalize, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { bundleWorkflowCode } from '@temporalio/worker';
import { boundaries, entrances } from './boundaries.ts';

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(file));
const top = (path: string) => path.split('/')[0] ?? '';
const isTest = (file: string) => file.endsWith('.test.ts') || top(file) === 'tests';

interface Import {
  readonly from: string;
  readonly to: string;
}
const imports: Import[] = files.flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/(?:from|import)\s+'(\.[^']+)'/g)].map(
    ([, specifier = '']) => ({
      from: file,
      to: normalize(join(file, '..', specifier)),
    }),
  ),
);

describe('architecture', () => {
  it('every module has a line in the table of boundaries', () => {
    const modules = new Set(
      files
        .filter((file) => file.includes('/'))
        .map(top)
        .filter((name) => name !== 'tests'),
    );
    assert.deepEqual([...modules].toSorted(), Object.keys(boundaries).toSorted());
  });

  it('modules import only what the table allows; main.ts wires anything', () => {
    const crossing = imports.filter(({ from, to }) => {
      if (isTest(from) || from.endsWith('/main.ts') || top(from) === top(to)) return false;
      return !(boundaries[top(from)] ?? []).includes(top(to));
    });
    assert.deepEqual(crossing, []);
  });

  it('folders are entered through their entrance', () => {
    const beside = imports.filter(({ from, to }) => {
      const entrance = entrances[top(to)];
      if (entrance === undefined || top(from) === top(to) || isTest(from)) return false;
      return !entrance.some((name) => to === `${top(to)}/${name}`);
    });
    assert.deepEqual(beside, []);
  });

  it('a channel never imports another channel', () => {
    const channelOf = (file: string) =>
      top(file) === 'channels' && file.split('/').length > 2 ? file.split('/')[1] : undefined;
    const between = imports.filter(({ from, to }) => {
      const [a, b] = [channelOf(from), channelOf(to)];
      return (
        a !== undefined &&
        b !== undefined &&
        a !== b &&
        a !== 'sandbox' &&
        b !== 'sandbox' &&
        b !== 'kit' &&
        !isTest(from)
      );
    });
    assert.deepEqual(between, []);
  });

  it('a channel is its folder, a line in the registry, and its place in the sandbox', () => {
    const namers = files.filter(
      (file) =>
        !isTest(file) &&
        !file.startsWith('channels/sms-aliyun/') &&
        /sms-aliyun|SmsAliyun/.test(
          readFileSync(file, 'utf8').replaceAll(
            /\/\*[\s\S]*?\*\/|\/\/.*|examples: .*|description:\s*'[^']*'|'Channel and provider[^']*'|'Connector, such as[^']*'/g,
            '',
          ),
        ),
    );
    const allowed = [
      'channels/registry.ts',
      'channels/demo.ts',
      'channels/sandbox/',
      'stack/',
      'contracts/template.ts',
    ];
    assert.deepEqual(
      namers.filter((file) => !allowed.some((prefix) => file.startsWith(prefix))),
      [],
    );
  });

  it('the RocketMQ client is touched by its adapter alone', () => {
    const users = files.filter(
      (file) => !isTest(file) && /from 'rocketmq-client-nodejs/.test(readFileSync(file, 'utf8')),
    );
    // The benchmark's limit is that client without anything around it.
    assert.deepEqual(users, ['bench/load/send-raw.ts', 'platform/rocketmq.ts']);
  });

  it('the workflows bundle without any Node module', async () => {
    const { code } = await bundleWorkflowCode({
      workflowsPath: resolve('workflows/index.ts'),
    });
    assert.ok(code.length > 0);
    assert.doesNotMatch(
      code,
      /typebox/i,
      'schemas are too heavy for the sandbox; workflows import types only',
    );
  });

  it('ARCHITECTURE.md prints the table of boundaries', () => {
    const text = readFileSync('ARCHITECTURE.md', 'utf8');
    for (const [module, allowed] of Object.entries(boundaries))
      assert.match(
        text,
        new RegExp(`\\| *${module} *\\| *${allowed.join(', ') || 'nothing'} *\\|`),
      );
  });

  it('every file and test that a document names exists', () => {
    const documents = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
      encoding: 'utf8',
    })
      .split('\n')
      .filter((file) => file !== '' && existsSync(file));
    const missing = documents.flatMap((document) =>
      [
        ...readFileSync(document, 'utf8').matchAll(
          /`([a-z][\w./-]*\/[\w./-]+\.(?:ts|md|yml|json|mjs))`/g,
        ),
      ]
        .map(([, path = '']) => path)
        .filter((path) => !existsSync(path) && !existsSync(join(document, '..', path)))
        .map((path) => `${document}: ${path}`),
    );
    assert.deepEqual(missing, []);
  });
});
