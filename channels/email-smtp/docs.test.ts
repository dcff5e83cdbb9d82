import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clientErrors, replyCodes } from './codes.ts';
import { magicNames } from './simulator-settings.ts';

const page = readFileSync(new URL('../../docs/channels/email-smtp.md', import.meta.url), 'utf8');

/** Rows of the table between `<!-- title -->` and `<!-- end -->`. */
function rowsOf(title: string): Record<string, string> {
  const table = page.split(`<!-- ${title} -->`)[1]?.split('<!-- end -->')[0] ?? '';
  const rows = table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
  return Object.fromEntries([...rows].map(([, code = '', outcome = '']) => [code, outcome]));
}

test('the document shows every reply code as codes.ts has it', () => {
  assert.deepEqual(rowsOf('reply codes'), replyCodes);
});

test("the document shows every error of nodemailer's as codes.ts has it", () => {
  assert.deepEqual(rowsOf('client errors'), clientErrors);
});

test('the document names every magic name', () => {
  const { refusedAtRcpt, refusedAtDot, bouncedLater, ...single } = magicNames;
  const { grey: _, ...others } = single;
  const names = [refusedAtRcpt, refusedAtDot, bouncedLater].flatMap((each) => Object.keys(each));
  for (const name of [...names, 'grey', ...Object.values(others)])
    assert.ok(page.includes(`\`${name}\``), name);
});
