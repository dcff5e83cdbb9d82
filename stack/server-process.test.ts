import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { endLeftovers, identify, isAlive, writeNote } from './process-table.ts';
import { createServerProcess, type RunningServer } from './server-process.ts';

let folder = '';
let started: RunningServer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'server-process-'));
  started = [];
});
afterEach(async () => {
  for (const server of started) await server.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A server that is this Node with a script; the folder in its command line marks it. */
function serverOf(script: string, isReady: () => Promise<boolean>, readyTimeoutMs = 10_000) {
  const server = createServerProcess(
    {
      title: 'Test server',
      command: process.execPath,
      args: ['-e', script, folder],
      workDir: folder,
      ports: [],
      logFile: join(folder, 'server.log'),
      noteFile: join(folder, 'run', 'server.json'),
      marker: folder,
      isReady,
      readyTimeoutMs,
      stopTimeoutMs: 500,
    },
    () => {},
  );
  started.push(server);
  return server;
}

const forever = 'setInterval(() => {}, 1000);';
const ready = () => Promise.resolve(true);

test('starts, is killed and starts again', async () => {
  const server = serverOf(forever, ready);
  await server.start();
  const first = server.pid;
  await server.kill('SIGKILL');
  assert.equal(server.pid, undefined);
  await server.start();
  assert.notEqual(server.pid, first);
  await server.stop();
  assert.equal(existsSync(join(folder, 'run', 'server.json')), false);
});

test('a failed start shows the end of the log and where it is', async () => {
  const script = 'for (let i = 1; i <= 30; i++) console.log("line " + i); process.exit(3)';
  await assert.rejects(serverOf(script, () => Promise.resolve(false)).start(), (error: Error) => {
    assert.match(
      error.message,
      /^Test server ended at its start \(code 3\)\. The end of .*server\.log:\n/,
    );
    assert.match(error.message, /line 11\n[^]*line 30$/);
    assert.doesNotMatch(error.message, /line 10\n/);
    return true;
  });
});

test('one that never answers is ended', async () => {
  const server = serverOf(forever, () => Promise.reject(new Error('no route')), 300);
  await assert.rejects(server.start(), /did not answer within 0\.3 s \(no route\) and was ended/);
  assert.equal(server.pid, undefined);
});

test('one that ignores SIGTERM is killed after the deadline', async () => {
  const script = `process.on('SIGTERM', () => {}); require('fs').writeFileSync('up', ''); ${forever}`;
  const server = serverOf(script, () => Promise.resolve(existsSync(join(folder, 'up'))));
  await server.start();
  await server.stop();
  assert.equal(server.pid, undefined);
});

test('ends what a killed run left behind', async () => {
  const left = spawn(process.execPath, ['-e', forever, folder], {
    detached: true,
    stdio: 'ignore',
  });
  await once(left, 'spawn');
  const pid = left.pid ?? 0;
  const noteFile = join(folder, 'run', 'server.json');
  const goneOwner = { pid: 1, startedAt: 'never' };
  await writeNote(noteFile, { leader: identify(pid), owner: goneOwner, marker: folder });
  assert.equal(await endLeftovers(noteFile), 1);
  assert.equal(isAlive(identify(pid)), false);
});

test('leaves a process alone that is not ours in spite of its number', async () => {
  const other = spawn(process.execPath, ['-e', forever], { detached: true, stdio: 'ignore' });
  await once(other, 'spawn');
  const pid = other.pid ?? 0;
  const noteFile = join(folder, 'run', 'server.json');
  await writeNote(noteFile, {
    leader: identify(pid),
    owner: { pid: 1, startedAt: 'never' },
    marker: folder,
  });
  assert.equal(await endLeftovers(noteFile), 0);
  assert.equal(isAlive(identify(pid)), true);
  other.kill('SIGKILL');
});

test('refuses to end servers whose owner still runs', async () => {
  const owner = spawn(process.execPath, ['-e', forever], { stdio: 'ignore' });
  const server = spawn(process.execPath, ['-e', forever, folder], {
    detached: true,
    stdio: 'ignore',
  });
  await Promise.all([once(owner, 'spawn'), once(server, 'spawn')]);
  const noteFile = join(folder, 'run', 'server.json');
  await writeNote(noteFile, {
    leader: identify(server.pid ?? 0),
    owner: identify(owner.pid ?? 0),
    marker: folder,
  });
  await assert.rejects(endLeftovers(noteFile), new RegExp(`already run by process ${owner.pid}`));
  server.kill('SIGKILL');
  owner.kill('SIGKILL');
});
