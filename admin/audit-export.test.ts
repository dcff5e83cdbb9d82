import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import mysql from 'mysql2/promise';
import { pause } from '../platform/lifecycle.ts';
import { adminToken, serveAdmin } from '../tests/admin-app.ts';

const { port, mysqlUrl } = await serveAdmin([]);
setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;
const heldBytes = () => {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

/** Doubled so often: 2,048 entries of 48 KiB, 96 MiB. */
const doublings = 11;
const stateBytes = 48 * 1024;

it('exports more than fits in memory at the pace of its reader, line by line', async (t) => {
  const connection = await mysql.createConnection(mysqlUrl);
  const state = JSON.stringify({ text: 'x'.repeat(stateBytes) });
  await connection.query(
    "insert into audit_log (at, operation_id, request_id, before_state) values (now(3), 'large', 'r', ?)",
    [state],
  );
  for (let done = 0; done < doublings; done += 1)
    await connection.query(
      'insert into audit_log (at, operation_id, request_id, before_state) select at, operation_id, request_id, before_state from audit_log',
    );
  await connection.end();

  const answer = await fetch(`http://127.0.0.1:${port}/v1/audit/export?operation=large`, {
    headers: { authorization: `Bearer ${adminToken}` },
  });
  assert.equal(answer.status, 200);
  assert.ok(answer.body !== null);
  const before = heldBytes();
  let most = 0;
  let read = 0;
  let lines = 0;
  let nextLook = 0;
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    read += chunk.length;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines += 1;
    if (read < nextLook) continue;
    nextLook += 16 * 1024 * 1024;
    // A reader that dawdles: nothing piles up for it.
    await pause(100);
    most = Math.max(most, heldBytes() - before);
  }
  const mebi = (bytes: number) => Math.round(bytes / 1024 / 1024);
  t.diagnostic(`${mebi(read)} MiB read, ${mebi(most)} MiB held more at most`);
  assert.equal(lines, 2 ** doublings);
  assert.ok(read > 2 ** doublings * stateBytes);
  assert.ok(most < 48 * 1024 * 1024, `${mebi(most)} MiB held`);
});
