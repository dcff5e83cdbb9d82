/** The demo tenant's FCM account: what the sandbox's provider knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { PushFcmSimulatorOptions } from './simulator.ts';

// A key pair that was made for the sandbox and opens nothing else.
export const sandboxFcmPrivateKey = `-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCmBAfPKm2c2FsM
TKaGbnawrLUDrq8s8Z2A1gkv7SM5AxVdXuIeQvPtSui1RAzjfZeS0gVphqqIKyJr
9oPa/zuiXy/aBJn+A1C9ofP9Ss27ZWhK9ncnRs4VYYX8eVpY5mITwRKmsAgwXa/t
QnXQ0oLe0oRmLev5CI1OYOy5H9/a7BwF3YwtSF/IBkW4CoXtuaPyHyzWuv5dNHst
G9AHBsMitOdN8QmlYHpr1Ktq/oAGE/Ku3KLEvnV2/idiw5zK/zhVNImCZ5YQwuQ9
6cYTgunRKR0aP85VT9SHIhyVlBQ5o1UJJBgG3un3a2LO5bTn8KC95f6w8RJDhkzZ
OfZG8FE5AgMBAAECggEAFiCNZehSycfwgrgordxFR5ENY1tCD+x4QLbGbLPfsPaf
P12pJ71mw6brU1WpnhycOj5x6DnBuvp80QT/WA4SxbaIKzfXyopolY3jdkwlFagT
eYJWKU7/osvnztnh192FDvr54Guv+7pQ+3+TMm0McmR+rxvJytx/8QVsJ9R+wq/k
oeDSjCz7nBAXrsyzzLl5O49jQWfiShkBhK8urbNU6W/azoivmCh19dwyLARanrid
EyG1EeuuduRAr/NNL17IpOvU4QEIXJqJknm172UxP0ZPfHicxHw/UlXTrG1MCC5A
QDZoxyJ9FbK8mjeQoTm+KvqNHhAGylcDPZZ0qKwAXQKBgQDWCg85/ZnerC3v39Ex
hhsAxPWatbfQtshGJKlU3LmbsmgIBIMtrclIJ7tsoFTtNwwUpozWVqXzyY7plfjK
qpoWFjdHnIPJhABsyX4ae1CMqs+RwIFCMXunDXZxyNoR5ZLObNqPf9pvwAc7c95j
VSe/fzMV4FvNMyCspuCUY0eMswKBgQDGj9L/bBkSgFlLlxd2TQeloyK/Yrcp9Ti5
r/KaNIeENA0Xmq8ffvW1jb5VNJ9bF9pM4WXccVsraLeOGKPeCPM3Lh+kDaIcRs5N
OPKW5oCYg0vk5BoCPvAN+2j2nEhIcmswsmydUdiZCtHmrPAVFs20PKfUE5NW/UtZ
blmrEOt4YwKBgQCgM09KPEIapAyN6ZuN0a4MWV7quPAny2cC+RW0arCRlGrA9X+p
hNWOqA5kM2zdT8I/ApmPI7N6UHYi5xkbt600stQVSVRqU95tjjJQZ9PWNVK+6LLW
dGr0keMBLy/pDUdgMaE0nqFD2xqOqR7egjIJ5o655P9RCt992jllVxmKeQKBgC2X
iJMtdvRQlDBPGQwI0+CsfKYFPJldvRCl3caamSM58GejFOLee/yb90AJPS3lZDKS
7piXTp/BA6SU88tfsrjQ1mMM3lQvzd7dXJZZht1+CEceOPqbCPOs7oTxjYdU/lfI
IDhfOqSpX1jgDKBLBCCGbOK9O++VaV+3fs9Qq0CRAoGBAIDk0Htq55cw7GMn2N3D
olwxgkTxzxFD1vIQmk1paCLqpdVztV7MnyUwhaLhKBujKDOiRmuiUlXGQbMI3Umz
H5ScevhVqZcUscP2apnzWMKtK9Hhgrxj5oojdMO6dSMU7KZILOHglaOTo6zJ4ixX
OeKRuizGg1VXM39F4dplus1+
-----END PRIVATE KEY-----
`;

const clientEmail = 'sandbox@message-center-sandbox.iam.example.com';
const projectId = 'message-center-sandbox';

export const sandboxPushFcm = {
  projectId,
  serviceAccounts: {
    [clientEmail]: `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApgQHzyptnNhbDEymhm52
sKy1A66vLPGdgNYJL+0jOQMVXV7iHkLz7UrotUQM432XktIFaYaqiCsia/aD2v87
ol8v2gSZ/gNQvaHz/UrNu2VoSvZ3J0bOFWGF/HlaWOZiE8ESprAIMF2v7UJ10NKC
3tKEZi3r+QiNTmDsuR/f2uwcBd2MLUhfyAZFuAqF7bmj8h8s1rr+XTR7LRvQBwbD
IrTnTfEJpWB6a9Srav6ABhPyrtyixL51dv4nYsOcyv84VTSJgmeWEMLkPenGE4Lp
0SkdGj/OVU/UhyIclZQUOaNVCSQYBt7p92tizuW05/CgveX+sPESQ4ZM2Tn2RvBR
OQIDAQAB
-----END PUBLIC KEY-----
`,
  },
} as const satisfies PushFcmSimulatorOptions;

export const demoPushFcm: DemoChannel = {
  connector: 'push-fcm',
  simulator: 'push-fcm',
  account: ({ url }) => ({
    settings: { projectId, baseUrl: url, tokenUri: `${url}/token` },
    secrets: { clientEmail, privateKey: sandboxFcmPrivateKey },
  }),
  ratePerSecond: 500,
  plainNotice: { title: 'Notice', body: '{{text}}' },
  to: { deviceToken: 'sandbox-fcm-device-0001' },
};
