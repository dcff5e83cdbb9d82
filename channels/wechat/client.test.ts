import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { listenHttp, readBody, type HttpListener } from '../sandbox/http-listener.ts';
import { createWechatMiniprogram, createWechatSubscribe, createWechatTemplate } from './index.ts';

/** Answers calls from a list, and keeps what was asked. */
const calls: { url: string; body: unknown; contentType: string | undefined }[] = [];
let answers: string[] = [];
let listener: HttpListener;
before(async () => {
  listener = await listenHttp(
    (request, response) =>
      void readBody(request, 100_000).then((body) => {
        calls.push({
          url: `${request.method} ${request.url}`,
          body: JSON.parse(body.toString()),
          contentType: request.headers['content-type'],
        });
        response.end(answers.shift() ?? 'unexpected');
      }),
    { host: '127.0.0.1', port: 0 },
  );
});
after(() => listener.close());

const openid = 'oABCD0123456789abcdefghijklm';
const deliveryKey = 'msg_01ARZ3NDEKTSV4RRFFQ69G5FAV.0.0123456789abcdef';
const deps = () => ({ allowPrivateProviders: true, tokens: createProviderTokens() });
const token = (value: string) => `{"access_token":"${value}","expires_in":7200}`;
const taken = '{"errcode":0,"errmsg":"ok","msgid":1988810812324364291}';

async function send(connector: Connector, content: object, script: readonly string[]) {
  calls.length = 0;
  answers = [...script];
  const account: AccountAccess = {
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: { appId: 'wx0123456789abcdef', baseUrl: `${listener.url}/base/` },
    secrets: { appSecret: 'hush' },
  };
  const client = connector.createClient(account);
  const { signal } = new AbortController();
  const outcome = await client.send({ to: { openid }, content, deliveryKey, signal });
  await client.close();
  return outcome;
}
const data = { thing1: '书', time2: '15:01' };
const wrapped = { thing1: { value: '书' }, time2: { value: '15:01' } };

test('a template message as WeChat wants it, after one token in normal mode', async () => {
  const outcome = await send(
    createWechatTemplate(deps()),
    {
      templateId: 'TM',
      url: 'https://example.com',
      miniprogram: { appId: 'wxfedcba9876543210', pagePath: 'pages/a' },
      data,
    },
    [token('70_a/+'), taken],
  );
  assert.ok(outcome.class === 'accepted' && outcome.providerId === '1988810812324364291');
  assert.deepEqual(calls, [
    {
      url: 'POST /base/cgi-bin/stable_token',
      contentType: 'application/json',
      body: {
        grant_type: 'client_credential',
        appid: 'wx0123456789abcdef',
        secret: 'hush',
        force_refresh: false,
      },
    },
    {
      url: 'POST /base/cgi-bin/message/template/send?access_token=70_a%2F%2B',
      contentType: 'application/json',
      body: {
        touser: openid,
        template_id: 'TM',
        url: 'https://example.com',
        miniprogram: { appid: 'wxfedcba9876543210', pagepath: 'pages/a' },
        client_msg_id: 'b0eacb6d0bbc761f9857947bc572871f',
        data: wrapped,
      },
    },
  ]);
});

test('notifications and mini-program messages carry no key of ours', async () => {
  await send(createWechatSubscribe(deps()), { templateId: 'S', page: 'https://x', data }, [
    token('t'),
    taken,
  ]);
  assert.deepEqual(calls[1]?.body, {
    touser: openid,
    template_id: 'S',
    page: 'https://x',
    data: wrapped,
  });
  assert.equal(calls[1]?.url, 'POST /base/cgi-bin/message/subscribe/bizsend?access_token=t');
  await send(
    createWechatMiniprogram(deps()),
    { templateId: 'M', page: 'pages/a?b=1', miniprogramState: 'trial', lang: 'en_US', data },
    [token('t'), taken],
  );
  assert.deepEqual(calls[1]?.body, {
    touser: openid,
    template_id: 'M',
    page: 'pages/a?b=1',
    miniprogram_state: 'trial',
    lang: 'en_US',
    data: wrapped,
  });
  assert.equal(calls[1]?.url, 'POST /base/cgi-bin/message/subscribe/send?access_token=t');
});

test('a stale token is renewed once; stale again is reported', async () => {
  const stale = '{"errcode":42001,"errmsg":"access_token expired"}';
  const content = { templateId: 'TM', data };
  const renewed = await send(createWechatTemplate(deps()), content, [
    token('a'),
    stale,
    token('b'),
    taken,
  ]);
  assert.equal(renewed.class, 'accepted');
  assert.match(calls[3]?.url ?? '', /access_token=b$/);
  const twice = await send(createWechatTemplate(deps()), content, [
    token('a'),
    stale,
    token('b'),
    stale,
  ]);
  assert.equal(twice.class, 'auth-expired');
  assert.equal(calls.length, 4);
});

test('a wrong secret is told without it, and nothing is sent', async () => {
  const refusal =
    '{"errcode":40125,"errmsg":"invalid appsecret hush rid: 5f1a2b3c-4d5e6f70-8192a3b4"}';
  const outcome = await send(createWechatTemplate(deps()), { templateId: 'TM', data }, [refusal]);
  assert.deepEqual(outcome, {
    class: 'auth-invalid',
    providerCode: '40125',
    providerMessage: 'the AppSecret is wrong, rid 5f1a2b3c-4d5e6f70-8192a3b4',
  });
  assert.equal(calls.length, 1);
});

test('what WeChat would refuse is refused here, without a call and without the value', async () => {
  const content = { templateId: 'TM', data: { ...data, thing1: '长'.repeat(21) } };
  assert.deepEqual(await send(createWechatTemplate(deps()), content, []), {
    class: 'content-rejected',
    providerCode: 'local:thing1',
    providerMessage: 'the value does not fit its field, field thing1',
  });
  assert.equal(calls.length, 0);
});

test('success without an id counts as sent', async () => {
  const outcome = await send(createWechatSubscribe(deps()), { templateId: 'S', data }, [
    token('t'),
    '{"errcode":0,"errmsg":"ok"}',
  ]);
  assert.equal(outcome.class, 'duplicate');
});

test('an address of another kind is refused before any call', () => {
  const connector = createWechatTemplate(deps());
  assert.equal(
    connector.addressFault({ phone: '13900001111' }, {}),
    'the address is not an openid',
  );
  assert.equal(connector.addressFault({ openid }, {}), undefined);
});
