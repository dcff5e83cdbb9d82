import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unfitField } from './values.ts';

/** Field → values that WeChat's parameter table allows, and values that it does not. */
const table: Readonly<Record<string, readonly [readonly string[], readonly string[]]>> = {
  thing1: [
    ['广州至北京', 'x'.repeat(20), '😀'.repeat(20), '1'],
    ['x'.repeat(21), '', '  '],
  ],
  number01: [
    ['339208499', '1.50', '9'.repeat(32)],
    ['9'.repeat(33), '1,000', '一', '-1', '1.'],
  ],
  letter2: [['abcDEF'], ['a1', 'x'.repeat(33), '字']],
  symbol1: [
    ['!@#', '￥'],
    ['!!!!!!', 'a', '1', '字'],
  ],
  character_string3: [
    ['SO-1001_a#', 'x'.repeat(32)],
    ['x'.repeat(33), '订单1'],
  ],
  time2: [
    ['15:01', '15:01:59', '2019年10月1日 15:01', '9:05~10:00', '2019-10-01 15:01'],
    ['25:00', '15:60', 'soon', '2019年10月1日'],
  ],
  date2: [
    [
      '2019年10月1日',
      '2019年10月1日 15:01',
      '2018-01-01',
      '2018/01/01',
      '2018.01.01',
      '2018-01',
      '01-01',
      '10月1日',
      '2018-01-01~2018-01-03',
      '2019-12-25 09:42',
    ],
    ['morgen', '15:01', '2018', '20180101'],
  ],
  amount1: [
    ['￥100', '¥5.80', '$9', '100元', '100', '1234567890.5元'],
    ['viel', '￥￥1', '12345678901', '￥', '1元整'],
  ],
  phone_number1: [
    ['+86-0766-66888866', '13900001111'],
    ['1'.repeat(18), 'call me'],
  ],
  car_number1: [['粤A8Z888挂'], ['粤A8Z888挂00']],
  name1: [
    ['某某', '张'.repeat(10), 'x'.repeat(20)],
    ['张'.repeat(11), 'x'.repeat(21), `张${'x'.repeat(10)}`],
  ],
  phrase3: [
    ['配送中', '审核已通过'],
    ['审核已通过了', 'ok', '配送中1'],
  ],
  keyword1: [['x'.repeat(500), '任何'], ['']],
  first: [['您好'], ['']],
};

for (const [field, [good, bad]] of Object.entries(table))
  test(`${field} takes what is documented and nothing else`, () => {
    for (const value of good) assert.equal(unfitField({ [field]: value }), undefined, value);
    for (const value of bad) assert.equal(unfitField({ [field]: value }), field, value);
  });

test('the first unfit field is told', () => {
  assert.equal(unfitField({ thing1: 'ok', phrase2: 'no', number3: 'no' }), 'phrase2');
});

test('an inherited property name is no type', () => {
  assert.equal(unfitField({ constructor: 'x', to_string: 'y' }), undefined);
});

test('long hostile values are judged at once', () => {
  const startedAt = Date.now();
  for (const field of ['date1', 'time1', 'amount1', 'number1'])
    unfitField({ [field]: `${'1'.repeat(2000)}~`, x: ' '.repeat(2000) });
  unfitField({ time1: `2019年10月1日${' '.repeat(1990)}x` });
  assert.ok(Date.now() - startedAt < 200);
});
