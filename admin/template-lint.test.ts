import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { demoChannels } from '../channels/demo.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import type { Finding, Size } from '../contracts/template-lint.ts';
import { openTestAdmin, pointers } from '../tests/admin.ts';

const admin = await openTestAdmin();
const call = admin.as('ann');
after(() => admin.close());

const text = { type: 'string', maxLength: 8000 } as const;
const template = (contents: TemplateEdit['contents'], variables = { text }): TemplateEdit => ({
  name: 'linted',
  kind: 'notice',
  variables,
  contents,
});
async function lint(edit: TemplateEdit) {
  const { status, body } = await call('POST', '/v1/templates/lint', { body: { template: edit } });
  assert.equal(status, 200, JSON.stringify(body));
  return body as unknown as { findings: Finding[]; sizes: Record<string, Size[]> };
}
const found = ({ findings }: { findings: Finding[] }) =>
  findings.map(({ level, code, pointer }) => `${level} ${code} ${pointer}`);

describe('the lint over HTTP', () => {
  it('counts the segments of a text message with samples and at the longest', async () => {
    const sms = { signName: '阿里云', templateCode: 'SMS_1', params: { code: '{{code}}' } };
    const contents = { 'sms-aliyun': { ...sms, text: '您的验证码是{{code}}' } };
    const short = await lint(
      template(contents, { code: { type: 'string', maxLength: 8 } } as never),
    );
    assert.deepEqual(short, {
      findings: [],
      sizes: {
        'sms-aliyun': [
          { what: 'characters', sample: 15, longest: 19 },
          { what: 'segments', sample: 1, longest: 1 },
        ],
      },
    });
    const long = await lint(
      template(contents, { code: { type: 'string', maxLength: 200 } } as never),
    );
    assert.deepEqual(found(long), ['warning sms-segments /contents/sms-aliyun/text']);
    assert.deepEqual(long.sizes['sms-aliyun']?.[1], { what: 'segments', sample: 1, longest: 4 });
  });

  it('knows the limits of every provider that has some', async () => {
    const contents = Object.fromEntries(
      demoChannels.map(({ connector, plainNotice }) => [connector, plainNotice]),
    );
    const { findings, sizes } = await lint(template(contents));
    const tooLong = findings.filter(({ code }) => code === 'too-long' || code === 'sms-segments');
    const warned = new Set(tooLong.map(({ pointer }) => pointer.split('/')[2]));
    // Mail, the inbox and DingTalk's robot take what the schemas let through, and so does a WeChat field of no known kind.
    const unlimited = /^(inbox-builtin|email-smtp|robot-dingtalk|wechat-.*)$/;
    const limited = demoChannels
      .map(({ connector }) => connector)
      .filter((name) => !unlimited.test(name));
    assert.deepEqual(
      limited.filter((name) => !warned.has(name)),
      [],
    );
    assert.deepEqual(
      limited.filter((name) => (sizes[name] ?? []).length === 0),
      [],
    );
    assert.ok(findings.every(({ level }) => level === 'warning'));
    const fine = await lint(
      template(contents, { text: { type: 'string', maxLength: 20 } } as never),
    );
    assert.deepEqual(found(fine), []);
  });

  it('keeps a template with errors from being published, and takes one with warnings', async () => {
    const body = (thing: string) =>
      template({ 'wechat-template': { templateId: 't', data: { thing1: thing } } });
    const never = body(`${'长'.repeat(20)}{{text}}`);
    for (const path of ['/v1/templates', '/v1/templates/preview']) {
      const sent = path === '/v1/templates' ? never : { template: never };
      const refused = await call('POST', path, { body: sent });
      const prefix = path === '/v1/templates' ? '' : '/template';
      assert.deepEqual(
        [refused.status, pointers(refused)],
        [422, [`${prefix}/contents/wechat-template/data/thing1`]],
      );
    }
    const shown = await call('POST', '/v1/templates/preview', {
      body: { template: body('{{text}}') },
    });
    assert.deepEqual(found(shown.body as never), [
      'warning too-long /contents/wechat-template/data/thing1',
    ]);
    assert.equal((await call('POST', '/v1/templates', { body: body('{{text}}') })).status, 201);
  });
});
