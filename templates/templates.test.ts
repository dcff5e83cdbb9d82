import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import { createValidator } from '../platform/validate.ts';
import { checkVariables, errorsOf, lintTemplate, renderContent, sampleVariables } from './index.ts';

const connector = {
  name: 'sms-test',
  channel: 'sms',
  contentSchema: Type.Object(
    { signName: Type.String({ minLength: 2 }), text: Type.String() },
    { additionalProperties: false },
  ),
} as unknown as Connector;
const lintOptions = {
  connectors: new Map([['sms-test', connector]]),
  schemaFaults: (schema: Parameters<typeof createValidator>[0], value: unknown) =>
    createValidator(schema).faults(value),
};

function edit(text: string, variables: TemplateEdit['variables'] = {}): TemplateEdit {
  return {
    name: 'test',
    kind: 'notice',
    variables,
    contents: { 'sms-test': { signName: '阿里云', text } },
  };
}
const string = { type: 'string' } as const;
const lint = (template: TemplateEdit) => lintTemplate(template, lintOptions);
function text(template: TemplateEdit, variables: Record<string, string | number | boolean>) {
  const rendered = renderContent(template, 'sms-test', { variables });
  if (rendered.result !== 'content') throw new Error(`${rendered.pointer} ${rendered.detail}`);
  return (rendered.content as { text: string }).text;
}

describe('checking variables', () => {
  const template = {
    variables: {
      code: { type: 'string', maxLength: 4 },
      count: { type: 'number' },
      isNew: { type: 'boolean', required: false },
    },
  } as const;

  it('takes what fits, with an optional one left out', () => {
    assert.deepEqual(checkVariables(template, { code: '1234', count: 0 }), []);
  });
  it('names each missing, unknown and wrongly typed one', () => {
    assert.deepEqual(checkVariables(template, { count: '1', isNew: 1, constructor: 'x' }), [
      { pointer: '/variables/code', detail: 'is required by the template' },
      { pointer: '/variables/count', detail: 'must be a number' },
      { pointer: '/variables/isNew', detail: 'must be a boolean' },
      { pointer: '/variables/constructor', detail: 'is not a variable of the template' },
    ]);
  });
  it('counts characters, not UTF-16 units', () => {
    assert.deepEqual(checkVariables(template, { code: '😀😀😀😀', count: 1 }), []);
    assert.deepEqual(checkVariables(template, { code: '😀😀😀😀😀', count: 1 }), [
      { pointer: '/variables/code', detail: 'may have 4 characters at most' },
    ]);
  });
  it('refuses half a character, which no provider would get as it was sent', () => {
    const [fault] = checkVariables(template, { code: 'a\ud83d', count: 1 });
    assert.equal(fault?.pointer, '/variables/code');
  });
});

describe('rendering', () => {
  const echo = edit('{{ a }}', { a: string });

  it('keeps every byte of a variable', () => {
    const values = [
      '👩‍👩‍👧‍👦 emoji, joined',
      'שלום עולם ‏مرحبا‎',
      '您的验证码是 𠮷野家，请勿泄露。',
      ' \t leading and trailing \r\n ',
      '<b>&amp;"\' {{ a }} {% if %} \\u0041 %s $1',
      '漢'.repeat(20_000),
      '',
    ];
    for (const value of values) assert.equal(text(echo, { a: value }), value);
  });
  // Every 20th of the SMS Spam Collection (T. A. Almeida, J. M. Gómez Hidalgo; UCI Machine Learning Repository; CC BY 4.0).
  it('keeps every byte of real messages, as variable and as text', () => {
    const file = new URL('sms-messages.tsv', import.meta.url);
    const lines = readFileSync(file, 'utf8').split('\n').slice(1);
    assert.ok(lines.length > 200);
    for (const line of lines) {
      assert.equal(text(echo, { a: line }), line);
      assert.equal(text(edit(`${line}{{ a }}`, { a: string }), { a: '!' }), `${line}!`);
    }
  });
  it('writes numbers as String(n)', () => {
    const template = edit('{{ a }}', { a: { type: 'number' } });
    for (const n of [0, -1, 0.1 + 0.2, 1e21, 1e-7, 123456789012345680000, 9007199254740991])
      assert.equal(text(template, { a: n }), String(n));
    assert.equal(text(edit('{{ a }}', { a: { type: 'boolean' } }), { a: false }), 'false');
  });
  it('fills strings at any depth and leaves keys, order and other values alone', () => {
    const content = { z: ['{{ a }}', 1, null, { '{{ a }}': true, n: '-{{ a }}-' }], a: 'plain' };
    const template = { variables: { a: string }, contents: { x: content } };
    const rendered = renderContent(template, 'x', { variables: { a: '值' } });
    assert.equal(
      JSON.stringify(rendered),
      '{"result":"content","content":{"z":["值",1,null,{"{{ a }}":true,"n":"-值-"}],"a":"plain"}}',
    );
  });
  it('renders a left-out optional variable as nothing, and as false in a condition', () => {
    const template = edit('[{{ a }}]{% if a %}yes{% else %}no{% endif %}', {
      a: { type: 'string', required: false },
    });
    assert.equal(text(template, {}), '[]no');
  });
  it('says where a template fails, without the value', () => {
    const missing = renderContent(edit('{{ b }}', { a: string }), 'sms-test', {
      variables: { a: 'geheim' },
    });
    assert.deepEqual(missing, {
      result: 'template-error',
      pointer: '/contents/sms-test/text',
      detail: 'undefined variable: b, line:1, col:4',
    });
    const failing = renderContent(edit('{{ a | url_decode }}', { a: string }), 'sms-test', {
      variables: { a: '%E0geheim' },
    });
    assert.equal(failing.result, 'template-error');
    assert.ok(!JSON.stringify(failing).includes('geheim'));
    assert.equal(
      renderContent(echo, 'push-none', { variables: { a: '' } }).result,
      'template-error',
    );
  });
  it('ends what would eat memory or time', () => {
    const doubled = `{% assign x = a %}${'{% assign x = x | append: x %}'.repeat(40)}{{ x }}`;
    const loop =
      '{% for i in (1..100000) %}{% for j in (1..100000) %}{{ a }}{% endfor %}{% endfor %}';
    for (const bomb of [doubled, loop, '{% for i in (1..900000000) %}x{% endfor %}']) {
      const startedAt = Date.now();
      const rendered = renderContent(edit(bomb, { a: string }), 'sms-test', {
        variables: { a: 'boom' },
      });
      assert.equal(rendered.result, 'template-error');
      assert.ok(Date.now() - startedAt < 3000);
    }
  });
  it('reaches nothing but its variables', () => {
    for (const path of ['a.constructor', 'constructor', '__proto__', 'toString', 'a.__proto__'])
      assert.equal(
        renderContent(edit(`{{ ${path} }}`, { a: string }), 'sms-test', { variables: { a: 'x' } })
          .result,
        'template-error',
      );
  });
});

describe('linting', () => {
  it('passes a good template', () => {
    assert.deepEqual(lint(edit('验证码 {{ code }}', { code: string })), {
      findings: [],
      sizes: {},
    });
  });
  it('names the place of every fault', () => {
    const bad: [string, TemplateEdit, string, RegExp][] = [
      ['syntax', edit('{{ code'), '/contents/sms-test/text', /not closed/],
      ['tag', edit('{% include "a" %}'), '/contents/sms-test/text', /include.*not found/],
      ['filter', edit('{{ "a" | nope }}'), '/contents/sms-test/text', /undefined filter: nope/],
      ['undeclared', edit('{{ code }}'), '/contents/sms-test/text', /"code".*not declared/],
      ['reserved', edit('', { empty: string }), '/variables/empty', /word of Liquid/],
      [
        'connector',
        { ...edit(''), contents: { 'sms-nobody': {} } },
        '/contents/sms-nobody',
        /there are: sms-test/,
      ],
      [
        'schema',
        { ...edit(''), contents: { 'sms-test': { text: '' } } },
        '/contents/sms-test/signName',
        /required/,
      ],
    ];
    for (const [name, template, pointer, detail] of bad) {
      const [fault] = errorsOf(lint(template));
      assert.equal(fault?.pointer, pointer, name);
      assert.match(fault?.detail ?? '', detail, name);
    }
  });
  it('counts names made inside the text as declared', () => {
    const inner =
      '{% assign b = a %}{% for c in (1..2) %}{{ c }}{{ forloop.index }}{% endfor %}{{ b }}';
    assert.deepEqual(lint(edit(inner, { a: string })).findings, []);
  });
  it('makes samples that pass the check', () => {
    const variables = {
      aLongName: { type: 'string', maxLength: 3 },
      n: { type: 'number' },
    } as const;
    assert.deepEqual(checkVariables({ variables }, sampleVariables({ variables })), []);
  });
});
