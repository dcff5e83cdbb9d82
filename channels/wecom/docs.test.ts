import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { answerCodes, customerCodes, robotCodes } from './classify.ts';

const page = readFileSync(new URL('../../docs/channels/wecom.md', import.meta.url), 'utf8');

/** Rows of the table between `<!-- title -->` and `<!-- end -->`. */
function rowsOf(title: string): Record<string, string> {
  const table = page.split(`<!-- ${title} -->`)[1]?.split('<!-- end -->')[0] ?? '';
  const rows = table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
  return Object.fromEntries([...rows].map(([, code = '', outcome = '']) => [code, outcome]));
}

for (const [title, codes] of [
  ['answer codes', answerCodes],
  ['customer codes', customerCodes],
  ['robot codes', robotCodes],
] as const)
  test(`the document shows the ${title} as classify.ts has them`, () => {
    assert.deepEqual(rowsOf(title), codes);
  });
