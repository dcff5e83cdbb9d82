import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { answerCodes } from './classify.ts';
import { receiptCodes } from './receipts.ts';

const page = readFileSync(new URL('../../docs/channels/sms-aliyun.md', import.meta.url), 'utf8');

/** Rows of the table between `<!-- title -->` and `<!-- end -->`. */
function rowsOf(title: string): Record<string, string> {
  const table = page.split(`<!-- ${title} -->`)[1]?.split('<!-- end -->')[0] ?? '';
  const rows = table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
  return Object.fromEntries([...rows].map(([, code = '', outcome = '']) => [code, outcome]));
}

test('the document shows every answer code as classify.ts has it', () => {
  assert.deepEqual(rowsOf('answer codes'), answerCodes);
});

test('the document shows every receipt code as receipts.ts has it', () => {
  assert.deepEqual(rowsOf('receipt codes'), receiptCodes);
});
