import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import type { LintSamples } from '../contracts/template-lint.ts';
import { createValidator } from '../platform/validate.ts';
import { errorsOf, lintTemplate } from './index.ts';

let seen: LintSamples<{ text: string }> | undefined;
const connector = {
  name: 'sms-test',
  channel: 'sms',
  contentSchema: Type.Object({ text: Type.String({ maxLength: 60 }) }),
  lint: (samples: LintSamples<{ text: string }>) => {
    seen = samples;
    const length = ({ text }: { text: string }) => text.length;
    return {
      findings: [
        { level: 'warning', pointer: '/text', code: 'sms-test', detail: 'of the connector' },
      ],
      sizes: [
        {
          what: 'characters',
          sample: length(samples.sample),
          longest: Math.max(...samples.longest.map(length)),
        },
      ],
    };
  },
} as unknown as Connector;
const plain = { ...connector, name: 'sms-plain', lint: undefined } as unknown as Connector;
const options = {
  connectors: new Map([
    ['sms-test', connector],
    ['sms-plain', plain],
  ]),
  schemaFaults: (schema: Parameters<typeof createValidator>[0], value: unknown) =>
    createValidator(schema).faults(value),
};
const string = { type: 'string', maxLength: 10 } as const;

function lint(text: string, variables: TemplateEdit['variables'], name = 'sms-plain') {
  return lintTemplate(
    { name: 'test', kind: 'notice', variables, contents: { [name]: { text } } },
    options,
  );
}
const codes = (text: string, variables: TemplateEdit['variables'] = {}) =>
  lint(text, variables).findings.map(({ level, code, pointer }) => `${level} ${code} ${pointer}`);

describe('the lint of a template', () => {
  it('tells errors from warnings, with a code and the place', () => {
    const at = '/contents/sms-plain/text';
    const optional = { ...string, required: false };
    for (const [text, variables, ...expected] of [
      ['{{ a }}', { a: string }],
      ['{{ a }}', {}, `error variable-undeclared ${at}`],
      ['{{ a', { a: string }, `error liquid-invalid ${at}`],
      ['x', { empty: string }, 'error variable-reserved /variables/empty'],
      ['x', { a: string }, 'warning variable-unused /variables/a'],
      ["{{ 'now' | date: '%Y' }}", {}, `error render-failed ${at}`],
      [
        "{% if a %}{{ 'now' | date: '%Y' }}{% endif %}",
        { a: { type: 'boolean' } },
        `warning render-failed ${at}`,
      ],
      ['{{ a }}', { a: optional }, `warning optional-without-default ${at}`],
      [
        '{% if b %}{{ a }}{% endif %}',
        { a: optional, b: { type: 'boolean' } },
        `warning optional-without-default ${at}`,
      ],
      ["{{ a | default: 'x' }}", { a: optional }],
      ['{% if a %}{{ a }}{% endif %}', { a: optional }],
      ['{% if a %}{% for i in (1..2) %}{{a}}{% endfor %}{% endif %}', { a: optional }],
      ['{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}', { a: string }, `warning too-long ${at}`],
    ] as [string, TemplateEdit['variables'], ...string[]][])
      assert.deepEqual(codes(text, variables), expected, text);
  });

  it('names what a schema or a missing connector refuses as errors', () => {
    const none = lint('x', {}, 'sms-nobody');
    assert.deepEqual(
      none.findings.map(({ code }) => code),
      ['connector-unknown'],
    );
    assert.deepEqual(
      errorsOf(lint('x'.repeat(61), {})).map(({ code, pointer }) => [code, pointer]),
      [['content-invalid', '/contents/sms-plain/text']],
    );
  });

  it('gives a connector its content with values of all lengths, both ways of each condition', () => {
    const flags = { a: string, b: { type: 'boolean' }, c: { ...string, required: false } } as const;
    const found = lint(
      "{% if b %}{{a}}{% else %}no{% endif %}{{c|default:'-'}}",
      flags,
      'sms-test',
    );
    assert.deepEqual(
      seen?.longest.map(({ text }) => text),
      ['长'.repeat(20), `${'长'.repeat(10)}-`, `no${'长'.repeat(10)}`, 'no-'],
    );
    assert.deepEqual(
      seen?.shortest.map(({ text }) => text),
      ['11', '1-', 'no1', 'no-'],
    );
    assert.deepEqual(found.sizes, {
      'sms-test': [{ what: 'characters', sample: 2, longest: 20 }],
    });
    assert.deepEqual(
      found.findings.map(({ pointer }) => pointer),
      ['/contents/sms-test/text'],
    );
  });

  it('says that nobody knows the longest where a used variable has no end', () => {
    const found = lint('{{ a }}', { a: { type: 'string' }, n: { type: 'number' } }, 'sms-test');
    assert.deepEqual(found.sizes['sms-test'], [{ what: 'characters', sample: 1, longest: null }]);
    assert.ok(
      found.findings.some(
        ({ code, pointer }) => code === 'variable-unbounded' && pointer === '/variables/a',
      ),
    );
  });

  it('renders a loop that was not meant only once', () => {
    const startedAt = performance.now();
    const { findings } = lint('{% for i in (1..99999999) %}x{% endfor %}', {});
    assert.match(findings[0]?.detail ?? '', /limit exceeded/);
    assert.equal(findings[0]?.level, 'error');
    assert.ok(performance.now() - startedAt < 5000);
  });
});
