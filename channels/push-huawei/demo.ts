/** The demo tenant's Huawei account: what the sandbox's provider knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { PushHuaweiSimulatorOptions } from './simulator.ts';

// A key pair that was made for the sandbox and opens nothing else.
export const sandboxHuaweiPrivateKey = `-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCXqn7kalG2bOGN
WgISliVJ2lEmibrCdzmMvbw/7lQnPAfTh/nTYPrG6MPr45jazUJrQiK2lGIptA9C
4l1c2ZMWW3XJrYxx9UaKpqwyYGAJrlh9xTZwW5rhOafjhlpOMuypGJ5Y6IZeZhfO
PbAbIEdJlC/ALMLkz02dTwAZc5TzGSTjqriFySEL+8ip2k93FoTy2uTtouoLMGj7
mCRutatJviJL9VFWkZeefW0YhZ/2fDuQgK/RA8nRLwLA0W0X2ssgpCgFgeU2b/YZ
mwp93+XQDn+FRbDmvDYOmggQTwuiEMQtpd9A784TdZXm/HN/PQd7Qs4vDNlZoUHf
jp86L4MXAgMBAAECggEAMeZoMonikaVYPpQXK3tYEGjymz3kgxgMCMjiV5x39qKz
Jn9ODKSTTf+GeqWbBJ5VFIohdrXyaCs0fDqTIjn5wXjdE7p0g4gCKhs1e6um3XiN
5++LfkM9fY3lNaBeNO1fXTFa5AC5OPTZL0OvnfUsT0KgxVdU1kh4jmHQNA+JucOR
pge9BCVIqAg+sj6/UZYgWR4Uk9jKM3Xy7oXrvsKmD9xuAufjQgzX8Wa9SwuaNVGl
69sLL3qbWEWRP8bbqlk/VpA1yiHy0bJ/DXV6kvZO+xmMsYQeHDeM3J8CUHVVUcpV
byg9M5s9Wdju6stTAUVIj5NvAaUf5NZ9xoW/ojEHrQKBgQDSUGKZWfqK2B6xdNFP
VEx68rKTdr5Pv2M5xXx1RVue/tf/eOcPyOjHN1qfKVwa0uxOjGP7ihbBR4+OqAc/
nXra6FqOhRASRt1TCfe2ExZJTurHcqMDtigvi62DBOA153V+alvHJrigZXj18hMX
vZNGb21gvcz4lUSmy+fgFvoG4wKBgQC4nK4ckoqyRve0vLDLFfSq/QMbi+cjDVIl
OhlaoiS5lsCStOCIhAwmq9Vz+SLkaRI9uBZUBVI2a5AVmAgX3iDT+8Rc1dcma9gU
+90yHMNa8JqSHya5+/s2yew6xt+n1Z7Zccz72ozWuYR9e3cbLNOTq9zaTlZE3T3q
AruZSGvVPQKBgE0ypH6VwJlmax3IO2xbDRe0Lkhitcif/9Qc4WpKYy8hbDeiMW5h
2NAHSYRSsjRGZ+cNMUYLkf6wPcmnc8GuFIJ194eI4DVVPbhVWE/FAdE23ocHVT7v
hiCtrKsDBynCJCaa88VOOUbm+FeO2+NC+uRH0mZIRQyZ/fEbt6lRxcTxAoGAK/mO
c9noVd0XxiKoTkf1lwFbyyUBMtVKevmi7nbvHpItXwTc80fZCSEnYE+5IwVwReli
0DLQSYxHrw0e6GiOE1DGjoKVlF5eA2mXYAd/9VqYxzPKasT+KyfgMIQM5JK7GvrD
pD6EC+X3DFjrnzqHT4bBvfKpFBBLXkG2ZCXfIdUCgYEAxE0rPKCZmYCjnhz9BIDF
tswavN8FAG7W/Ehcit8C/Byp3j/BtPugCiDMUzBuyLmwfiSWXnz8eKE8l/BqAYD7
+Aokp2hQjD+BpFHKlGUEF2H2Rodnr6IUw1Zddk3pgXmzAx/dmBp7QgQ+HKFcf24Y
qjDa6FkIZxMJd4YUF/FKU2s=
-----END PRIVATE KEY-----
`;

export const sandboxPushHuawei = {
  projectId: '388421841222000001',
  clientId: '111000001',
  serviceAccounts: {
    'sandbox-key': {
      subAccount: '101000001',
      publicKey: `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAl6p+5GpRtmzhjVoCEpYl
SdpRJom6wnc5jL28P+5UJzwH04f502D6xujD6+OY2s1Ca0IitpRiKbQPQuJdXNmT
Flt1ya2McfVGiqasMmBgCa5YfcU2cFua4Tmn44ZaTjLsqRieWOiGXmYXzj2wGyBH
SZQvwCzC5M9NnU8AGXOU8xkk46q4hckhC/vIqdpPdxaE8trk7aLqCzBo+5gkbrWr
Sb4iS/VRVpGXnn1tGIWf9nw7kICv0QPJ0S8CwNFtF9rLIKQoBYHlNm/2GZsKfd/l
0A5/hUWw5rw2DpoIEE8LohDELaXfQO/OE3WV5vxzfz0He0LOLwzZWaFB346fOi+D
FwIDAQAB
-----END PUBLIC KEY-----
`,
    },
  },
  callbackUser: 'message-center',
  callbackKey: 'c2FuZGJveC1jYWxsYmFjay1rZXktMDAwMQ==',
} as const satisfies PushHuaweiSimulatorOptions;

export const demoPushHuawei: DemoChannel = {
  connector: 'push-huawei',
  simulator: 'push-huawei',
  account: ({ url }) => ({
    settings: {
      projectId: sandboxPushHuawei.projectId,
      clientId: sandboxPushHuawei.clientId,
      callbackUser: sandboxPushHuawei.callbackUser,
      baseUrl: url,
    },
    secrets: {
      keyId: 'sandbox-key',
      subAccount: sandboxPushHuawei.serviceAccounts['sandbox-key'].subAccount,
      privateKey: sandboxHuaweiPrivateKey,
      callbackKey: sandboxPushHuawei.callbackKey,
    },
  }),
  ratePerSecond: 500,
  plainNotice: { title: 'Notice', body: '{{text}}' },
  to: { deviceToken: 'sandbox-huawei-device-0001' },
};
