import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalQuery, percentEncode, signAcs3 } from './sign.ts';

const signature = (headers: Record<string, string>) =>
  /Signature=([0-9a-f]{64})$/.exec(headers['authorization'] ?? '')?.[1];

test('signs the example of the official documentation', () => {
  const headers = signAcs3({
    host: 'ecs.cn-shanghai.aliyuncs.com',
    action: 'RunInstances',
    version: '2014-05-26',
    query: {
      RegionId: 'cn-shanghai',
      ImageId: 'win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd',
    },
    accessKeyId: 'YourAccessKeyId',
    accessKeySecret: 'YourAccessKeySecret',
    date: '2023-10-26T10:22:32Z',
    nonce: '3156853299f313e23d1673dc12e1703d',
  });
  assert.equal(
    signature(headers),
    '06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0',
  );
});

test('signs a SendSms call as the official SDK does', () => {
  const headers = signAcs3({
    host: 'dysmsapi.aliyuncs.com',
    action: 'SendSms',
    query: {
      OutId: 'msg-0001',
      PhoneNumbers: '13900000000',
      SignName: '阿里云',
      TemplateCode: 'SMS_15305',
      TemplateParam: '{"code":"1234"}',
    },
    accessKeyId: 'testId',
    accessKeySecret: 'testSecret',
    date: '2026-01-02T03:04:05Z',
    nonce: '0123456789abcdef0123456789abcdef',
  });
  assert.equal(
    signature(headers),
    '9fa599729d67c15d7c832b0623a53b1850493f05f85240ebdf42ae2489f01efd',
  );
  assert.match(
    headers['authorization'] ?? '',
    /^ACS3-HMAC-SHA256 Credential=testId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,/,
  );
});

test('encodes what encodeURIComponent leaves, and a space as %20', () => {
  assert.equal(percentEncode("a b*(c)!'~"), 'a%20b%2A%28c%29%21%27~');
  assert.equal(canonicalQuery({ b: '2', B: '+', a: '阿' }), 'B=%2B&a=%E9%98%BF&b=2');
});

test('every call has a nonce of its own', () => {
  const call = { host: 'h', action: 'A', query: {}, accessKeyId: 'i', accessKeySecret: 's' };
  assert.notEqual(signAcs3(call)['x-acs-signature-nonce'], signAcs3(call)['x-acs-signature-nonce']);
});
