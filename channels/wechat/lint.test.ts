import assert from 'node:assert/strict';
import { it } from 'node:test';
import { lintWechat } from './lint.ts';

/** One field: as it is stored, and as it comes out with the shortest and the longest values. */
function lint(field: string, [stored, short, long]: readonly [string, string, string]) {
  const content = (value: string) => ({ templateId: 't', data: { [field]: value } });
  return lintWechat({
    stored: content(stored),
    sample: content(short),
    shortest: [content(short)],
    longest: [content(long)],
  });
}
const han = (length: number) => '长'.repeat(length);

it('holds every field to the kind that its name says', () => {
  for (const [field, values, expected] of [
    ['thing1', ['{{a}}', '1', han(20)], undefined],
    ['thing1', ['{{a}}', '1', han(21)], 'warning too-long'],
    ['thing1', [`${han(20)}{{a}}`, `${han(20)}1`, han(30)], 'error too-long'],
    ['thing1', ['', '', ''], 'error wechat-field'],
    ['thing1', ['{{a}}', '1', ''], 'warning wechat-field-empty'],
    ['number2', ['{{n}}', '1', '9'.repeat(16)], undefined],
    ['number2', ['共{{n}}件', '共1件', '共9件'], 'error wechat-field'],
    ['number2', ['{{flag}}', 'true', 'true'], 'error wechat-field'],
    ['amount3', ['¥{{n}}元', '¥1元', '¥9元'], undefined],
    ['character_string4', ['订单{{id}}', '订单1', '订单2'], 'error wechat-field'],
    ['time5', ['{{at}}', '1', han(10)], undefined],
    ['time5', ['tomorrow', 'tomorrow', 'tomorrow'], 'error wechat-field'],
    ['date6', ['2026年1月2日', '2026年1月2日', '2026年1月2日'], undefined],
    ['phrase7', ['{{a}}', '1', han(5)], undefined],
    ['phrase7', ['{{a}}', '1', han(6)], 'warning too-long'],
    ['name8', ['{{a}}', '1', 'x'.repeat(20)], undefined],
    ['name8', ['{{a}}', '1', han(11)], 'warning too-long'],
    ['keyword1', ['{{a}}', '1', han(500)], undefined],
  ] as const) {
    const [first] = lint(field, values).findings;
    const found = first && `${first.level} ${first.code}`;
    assert.equal(found, expected, `${field} ${values.join(' | ')}`);
    if (first !== undefined) assert.equal(first.pointer, `/data/${field}`);
  }
});

it('says how many characters a field takes', () => {
  assert.deepEqual(lint('thing1', ['{{a}}', '1', han(7)]).sizes, [
    { what: 'characters of thing1', sample: 1, longest: 7, limit: 20 },
  ]);
  assert.deepEqual(lint('time1', ['{{a}}', '1', '2']).sizes, []);
});
