import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { SmsContent } from './client.ts';
import { lintSms, segmentsOf } from './lint.ts';

const content = (text?: string): SmsContent => ({
  signName: '阿里云',
  templateCode: 'SMS_1',
  params: {},
  ...(text !== undefined && { text }),
});
const lint = (shortest: string, longest: string) =>
  lintSms({
    stored: content('{{ text }}'),
    sample: content(shortest),
    shortest: [content(shortest)],
    longest: [content('x'), content(longest)],
  });

it('cuts a text at 70 characters, and into parts of 67', () => {
  for (const [length, segments] of [
    [1, 1],
    [70, 1],
    [71, 2],
    [134, 2],
    [135, 3],
    [201, 3],
    [202, 4],
  ] as const)
    assert.equal(segmentsOf('长'.repeat(length)), segments, String(length));
  // As UCS-2 it is two.
  assert.equal(segmentsOf('😀'.repeat(36)), 2);
});

it('counts the signature, and warns of what is charged more than once', () => {
  const one = lint('长'.repeat(65), '长'.repeat(65));
  assert.deepEqual(one, {
    findings: [],
    sizes: [
      { what: 'characters', sample: 70, longest: 70 },
      { what: 'segments', sample: 1, longest: 1 },
    ],
  });
  const three = lint('x', '长'.repeat(130));
  assert.deepEqual(
    three.sizes.map(({ sample, longest }) => [sample, longest]),
    [
      [6, 135],
      [1, 3],
    ],
  );
  assert.deepEqual(
    three.findings.map(({ level, code }) => [level, code]),
    [['warning', 'sms-segments']],
  );
  assert.match(three.findings[0]?.detail ?? '', /3 messages/);
});

it('knows nothing without the text', () => {
  const { findings, sizes } = lintSms({
    stored: content(),
    sample: content(),
    shortest: [content()],
    longest: [content()],
  });
  assert.deepEqual([findings.map(({ code }) => code), sizes], [['sms-text-unknown'], []]);
});
