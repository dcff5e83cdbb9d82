/** Our PS256 tokens against an independent library and OpenSSL, and the library's against our simulator. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import jsonwebtoken, { type Algorithm } from 'jsonwebtoken';
import { sandboxHuaweiPrivateKey, sandboxPushHuawei } from './demo.ts';
import { makeJwt } from './jwt.ts';
import { jwtFault } from './simulator-checks.ts';

const { serviceAccounts } = sandboxPushHuawei;
const { publicKey, subAccount } = serviceAccounts['sandbox-key'];
const tokenUri = 'https://oauth-login.cloud.huawei.com/oauth2/v3/token';
const nowMs = Date.now();
const iat = Math.floor(nowMs / 1000);
const key = createPrivateKey(sandboxHuaweiPrivateKey);
const ours = makeJwt({ keyId: 'sandbox-key', subAccount, key, tokenUri }, nowMs);

test('jsonwebtoken reads our token as Huawei documents it', () => {
  const { header, payload } = jsonwebtoken.verify(ours, publicKey, {
    algorithms: ['PS256'],
    audience: tokenUri,
    issuer: subAccount,
    complete: true,
  });
  assert.deepEqual(header, { kid: 'sandbox-key', typ: 'JWT', alg: 'PS256' });
  assert.deepEqual(payload, { aud: tokenUri, iss: subAccount, exp: iat + 3600, iat });
});

test("the simulator takes jsonwebtoken's PS256, and no other algorithm", () => {
  const sign = (algorithm: Algorithm, expiresIn: number) =>
    jsonwebtoken.sign({}, sandboxHuaweiPrivateKey, {
      algorithm,
      audience: tokenUri,
      issuer: subAccount,
      keyid: 'sandbox-key',
      expiresIn,
    });
  assert.equal(jwtFault(sign('PS256', 3600), serviceAccounts, nowMs), undefined);
  assert.equal(jwtFault(sign('RS256', 3600), serviceAccounts, nowMs)?.code, '80200001');
  assert.equal(jwtFault(sign('PS512', 3600), serviceAccounts, nowMs)?.code, '80200001');
  assert.equal(jwtFault(sign('PS256', 90_000), serviceAccounts, nowMs)?.code, '80300036');
});

/** A program of the machine, not a package. */
const program = 'openssl';
const hasOpenssl = spawnSync(program, ['version']).status === 0;
test('OpenSSL verifies our signature', { skip: !hasOpenssl && 'there is no openssl' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ps256-'));
  try {
    const [head = '', payload = '', signature = ''] = ours.split('.');
    const file = (name: string, data: string | Buffer) => {
      writeFileSync(join(folder, name), data);
      return join(folder, name);
    };
    const { stdout } = spawnSync(
      program,
      [
        'dgst',
        '-sha256',
        '-verify',
        file('key.pem', publicKey),
        '-sigopt',
        'rsa_padding_mode:pss',
        '-sigopt',
        'rsa_pss_saltlen:32',
        '-signature',
        file('signature', Buffer.from(signature, 'base64url')),
        file('input', `${head}.${payload}`),
      ],
      { encoding: 'utf8' },
    );
    assert.match(stdout, /^Verified OK/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
