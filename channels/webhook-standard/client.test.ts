import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import type { ConnectorClient } from '../../contracts/channel.ts';
import { createMailbox } from '../conformance-kit.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { demoWebhookStandard, sandboxWebhookStandard } from './demo.ts';
import { createWebhookStandard } from './index.ts';
import { createWebhookStandardSimulator } from './simulator.ts';

const simulator = createWebhookStandardSimulator(sandboxWebhookStandard);
const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
const clients: ConnectorClient[] = [];
after(async () => {
  for (const client of clients) await client.close();
  await listener.close();
});
beforeEach(() => simulator.reset());

const { secret } = sandboxWebhookStandard;
const stranger = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const key = 'msg_0123456789abcdefghjkmnpqrs.0.0123456789abcdef';
const content = { type: 'order.shipped', data: { orderId: 'A1' } };

type Endpoints = Record<string, { url: string; disabled?: boolean }>;
function clientOf(
  endpoints: Endpoints,
  more: { signing?: Record<string, string[]>; isPrivateAllowed?: boolean; now?: () => number } = {},
) {
  const signing = Object.fromEntries(Object.keys(endpoints).map((name) => [name, [secret]]));
  const client = createWebhookStandard({
    allowPrivateProviders: more.isPrivateAllowed ?? true,
    ...(more.now !== undefined && { now: more.now }),
  }).createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { endpoints },
    secrets: { signing: more.signing ?? signing },
  });
  clients.push(client);
  return client;
}
const send = (client: ConnectorClient, endpoint: string, data = content.data) =>
  client.send({
    to: { endpoint },
    content: { ...content, data },
    deliveryKey: key,
    signal: new AbortController().signal,
  });
const at = (name: string) => ({ [name]: { url: `${listener.url}/${name}` } });

test('the request as it goes out: time of the message in the body, of the attempt in the header', async (t) => {
  const mailbox = await createMailbox();
  t.after(() => mailbox.close());
  const nowMs = Date.parse('2030-01-02T03:04:05.678Z');
  const client = clientOf({ orders: { url: `${mailbox.url}/hooks/a?b=c` } }, { now: () => nowMs });
  const outcome = await send(client, 'orders');
  assert.equal(outcome.class, 'accepted');
  const [sent] = mailbox.requests;
  assert.deepEqual([sent?.method, sent?.query], ['POST', { b: 'c' }]);
  const id = 'msg_0123456789abcdefghjkmnpqrs_0_0123456789abcdef';
  assert.equal(outcome.class === 'accepted' && outcome.providerId, id);
  assert.equal(sent?.headers['webhook-id'], id);
  assert.equal(sent?.headers['webhook-timestamp'], '1893553445');
  assert.equal(sent?.headers['content-type'], 'application/json');
  const body = JSON.parse(Buffer.from(sent?.body ?? []).toString()) as { timestamp: string };
  // The 48 bits of the id's first characters, 0123456789 in base32: 292897998658 ms.
  assert.deepEqual(body, { ...content, timestamp: '1979-04-14T00:33:18.658Z' });
});

test('every secret signs: a receiver takes the old one and the new one', async () => {
  for (const list of [[stranger, secret], [secret, stranger], [secret]])
    assert.equal(
      (await send(clientOf(at('ok'), { signing: { ok: list } }), 'ok')).class,
      'accepted',
    );
});

test('a wrong secret is tried again, not held against the account', async () => {
  const outcome = await send(clientOf(at('ok'), { signing: { ok: [stranger] } }), 'ok');
  assert.deepEqual(outcome, { class: 'transient', providerCode: 'HTTP 401' });
});

test('bodies do not matter: none, and a million bytes', async () => {
  for (const name of ['no-content', 'big-body'])
    assert.equal((await send(clientOf(at(name)), name)).class, 'accepted', name);
});

test('an answer that breaks off, or is longer than is read, is ambiguous', async () => {
  for (const name of ['cut', 'reset', 'huge-body'])
    assert.equal((await send(clientOf(at(name)), name)).class, 'ambiguous', name);
});

test('a redirect is not followed', async () => {
  assert.equal((await send(clientOf(at('moved')), 'moved')).providerCode, 'HTTP 301');
  assert.equal(simulator.calls.total(), 1);
});

test('Retry-After comes through', async () => {
  simulator.configure({ retryAfterSeconds: 77 });
  const outcome = await send(clientOf(at('busy')), 'busy');
  assert.equal(outcome.class === 'rate-limited' && outcome.retryAfterMs, 77_000);
});

test('a payload over 20 kB is not sent', async () => {
  const outcome = await send(clientOf(at('ok')), 'ok', { orderId: '长'.repeat(7000) });
  assert.equal(outcome.class, 'content-rejected');
  assert.equal(simulator.calls.total(), 0);
});

test('unknown and disabled endpoints are named to who asks, and called by nobody', async () => {
  const settings = { endpoints: { ...at('ok'), off: { url: listener.url, disabled: true } } };
  const connector = createWebhookStandard({ allowPrivateProviders: true });
  assert.equal(connector.addressFault({ endpoint: 'ok' }, settings), undefined);
  assert.match(connector.addressFault({ endpoint: 'nope' }, settings) ?? '', /"nope"/);
  assert.match(connector.addressFault({ endpoint: 'off' }, settings) ?? '', /disabled/);
  assert.match(connector.addressFault({ endpoint: 'constructor' }, settings) ?? '', /no endpoint/);
  const client = clientOf(settings.endpoints);
  for (const name of ['nope', 'off', 'constructor'])
    assert.equal((await send(client, name)).class, 'recipient-invalid');
  assert.equal(simulator.calls.total(), 0);
});

test('without leave for private providers: no http, and no private address behind https', async () => {
  const isPrivateAllowed = false;
  const plain = await send(clientOf(at('ok'), { isPrivateAllowed }), 'ok');
  assert.equal(plain.class, 'auth-invalid');
  const { port } = new URL(listener.url);
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '169.254.169.254']) {
    const endpoints = { inner: { url: `https://${host}:${port}/ok` } };
    const outcome = await send(clientOf(endpoints, { isPrivateAllowed }), 'inner');
    assert.equal(outcome.class, 'transient');
    assert.match(outcome.providerMessage ?? '', /EPRIVATE/, host);
  }
});

test('verify checks that URLs and secrets agree, and names the endpoint where not', async () => {
  const verify = (client: ConnectorClient) => client.verify(new AbortController().signal);
  assert.equal((await verify(clientOf(at('ok')))).class, 'accepted');
  const wrong: [RegExp, ConnectorClient][] = [
    [/^ok: it has no signing secret$/, clientOf(at('ok'), { signing: {} })],
    [/^constructor: it has no/, clientOf({ constructor: { url: listener.url } }, { signing: {} })],
    [/not https/, clientOf(at('ok'), { isPrivateAllowed: false })],
    [/cannot be read/, clientOf({ ok: { url: 'https://a:b' } })],
  ];
  for (const [expected, client] of wrong) {
    const outcome = await verify(client);
    assert.equal(outcome.class, 'auth-invalid');
    assert.match(outcome.providerMessage ?? '', expected);
  }
  assert.equal(simulator.calls.total(), 0);
});

test('the demo account works', async () => {
  const { settings, secrets } = demoWebhookStandard.account({
    url: listener.url,
    receiptToken: '',
  });
  const client = createWebhookStandard({ allowPrivateProviders: true }).createClient({
    id: 'acc',
    tenantId: 'ten',
    settings,
    secrets,
  });
  clients.push(client);
  assert.equal((await send(client, 'orders')).class, 'accepted');
});
