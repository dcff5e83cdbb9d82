/** Two tenants cannot see or change each other's things by any route of the OpenAPI document. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { demoTemplates } from '../../stack/seed.ts';
import { until } from '../stack.ts';
import { startSystem, type Answer } from '../system.ts';

const system = await startSystem({ isOneProcess: true, connectors: ['inbox-builtin', 'push-fcm'] });

/** In everything that is the owner's and comes out again: nobody else may ever see it. */
const mark = `mark-${randomBytes(6).toString('hex')}`;
const userId = 'li';
const phone = '13811112222';

interface Operation {
  readonly operationId: string;
  readonly method: string;
  readonly path: string;
  readonly hasBody: boolean;
}

/** Every operation of the document that the process serves. */
async function operationsOf(port: number): Promise<readonly Operation[]> {
  const document = (await (await fetch(`http://127.0.0.1:${port}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { operationId: string; requestBody?: unknown }>>;
  };
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, requestBody }]) => ({
      operationId,
      method: method.toUpperCase(),
      path,
      hasBody: requestBody !== undefined,
    })),
  );
}

const ok = ({ status, body }: Answer) => {
  assert.ok(status < 300, `${status} ${JSON.stringify(body)}`);
  return body;
};

/** Things of the owner, of every kind that an address of the API can name. */
async function makeThings() {
  const post = async (message: object) =>
    String(
      ok(
        await system.call('POST', '/v1/messages', {
          template: 'plain-notice',
          variables: { text: mark },
          metadata: { note: mark },
          ...message,
        }),
      )['id'],
    );
  const sendAt = new Date(Date.now() + 86_400_000).toISOString();
  const scheduled = await post({ to: { phone }, channel: 'sms', sendAt, batch: 'spring' });
  const inInbox = await post({ to: { userId }, channel: 'inbox' });
  await system.untilStatus(inInbox, ['sent', 'delivered', 'read']);
  ok(
    await system.call('PUT', `/v1/users/${userId}`, {
      addresses: { phone: '13833334444' },
      timeZone: 'Asia/Shanghai',
    }),
  );
  const suppressed = { to: { phone: '13855556666' } };
  ok(await system.call('PUT', '/v1/suppressions', { ...suppressed, reason: mark }));
  const device = ok(
    await system.call('POST', `/v1/users/${userId}/devices`, {
      connector: 'push-fcm',
      deviceToken: `${mark}-device-token`,
    }),
  );
  const items = ok(await system.call('GET', `/v1/inbox/${userId}/items`))['items'];
  const [item] = items as { id: string }[];
  assert.ok(item !== undefined);
  const batch = { template: 'plain-notice', name: mark };
  const endpoint = { url: 'https://receiver.example/', description: mark, isEnabled: false };
  const made = async (path: string, body: object) =>
    String(ok(await system.call('POST', path, body))['id']);
  return {
    scheduled,
    inInbox,
    suppressed,
    deviceId: String(device['id']),
    itemId: item.id,
    consentId: await made('/v1/consents', {
      to: { phone: '13822220000' },
      action: 'granted',
      purpose: 'marketing',
      channel: 'sms',
      source: 'web-form',
      textVersion: '1',
      evidence: mark,
    }),
    batchId: await made('/v1/batches', batch),
    endpointId: await made('/v1/webhook-endpoints', endpoint),
    erasureId: await made('/v1/erasures', { to: { phone: '13877778888' } }),
  };
}

/** What is read once nothing changes any more by itself: the same twice, two seconds apart. */
async function untilSettled(read: () => Promise<object>): Promise<object> {
  let last: object | undefined;
  return until(
    'two readings agree',
    async () => {
      const previous = last;
      last = await read();
      return isDeepStrictEqual(last, previous) ? last : undefined;
    },
    { everyMs: 2000, seen: () => last },
  );
}

describe('two tenants', () => {
  it('see and change nothing of each other by any route of ingest', async (t) => {
    const things = await makeThings();
    const strangerId = `stranger-${system.tenantId}`;
    await system.store.tenants.ensure(strangerId, 'Stranger');
    for (const template of demoTemplates) await system.store.templates.create(strangerId, template);
    const { key } = await system.store.apiKeys.create(strangerId, { name: 'stranger' });
    const stranger = { authorization: `Bearer ${key}` };

    const readAll = async () => {
      const paths = [
        `/v1/messages/${things.scheduled}`,
        `/v1/messages/${things.inInbox}`,
        `/v1/users/${userId}`,
        `/v1/users/${userId}/devices`,
        `/v1/inbox/${userId}/items`,
        `/v1/inbox/${userId}/unread`,
        `/v1/batches/${things.batchId}`,
        `/v1/webhook-endpoints/${things.endpointId}`,
        '/v1/consents',
      ];
      const read = paths.map(async (path) => ok(await system.call('GET', path)));
      const suppressions = system.call('POST', '/v1/suppressions/query', things.suppressed);
      return [...(await Promise.all(read)), ok(await suppressions)];
    };
    await until('the search finds what is scheduled', async () => {
      const { body } = await system.call('GET', '/v1/messages?status=scheduled');
      return (body['items'] as unknown[]).length === 1 || undefined;
    });
    await until('its attempt is told', async () => {
      const { body } = await system.call('GET', `/v1/messages/${things.inInbox}`);
      return (body['timeline'] as unknown[]).length === 1 || undefined;
    });
    const before = await untilSettled(readAll);

    /** What an address names, by its collection. */
    const idsOf: Record<string, string[]> = {
      messages: [things.scheduled, things.inInbox],
      'webhook-endpoints': [things.endpointId],
      erasures: [things.erasureId],
      consents: [things.consentId],
    };
    const placesOf: Record<string, string> = {
      userId,
      deviceId: things.deviceId,
      itemId: things.itemId,
      key: 'order-1',
    };
    const message = { to: { phone }, template: 'plain-notice', variables: { text: 'x' } };
    /** A body that the operation takes, for what is the owner's. */
    const bodies: Record<string, unknown> = {
      postMessage: message,
      postMessages: { messages: [message] },
      registerDevice: { connector: 'push-fcm', deviceToken: 'a-token-of-the-stranger' },
      putPerson: { addresses: { phone: '13899990000' } },
      putSuppression: { ...things.suppressed, reason: 'stranger' },
      querySuppressions: things.suppressed,
      removeSuppression: things.suppressed,
      createInboxToken: {},
      recordConsent: {
        to: { phone: '13822220000' },
        action: 'withdrawn',
        purpose: 'marketing',
        source: 'stranger',
      },
      queryConsent: { to: { phone: '13822220000' }, purpose: 'marketing', channel: 'sms' },
      listConsentHistory: { to: { phone: '13822220000' } },
      erasePerson: { to: { userId } },
      queryMessages: { query: 'SELECT * FROM messages' },
      createBatch: { template: 'plain-notice' },
      startBatch: {},
      createWebhookEndpoint: { url: 'http://127.0.0.1:9/' },
      putWebhookEndpoint: { url: 'http://127.0.0.1:9/' },
      rotateWebhookSecret: {},
      testWebhookEndpoint: {},
      replayWebhooks: { messageIds: [things.inInbox] },
    };
    const seen: string[] = [];
    const operations = await operationsOf(system.config.ingestPort);
    for (const operation of operations) {
      const { operationId, method, path, hasBody } = operation;
      // Open to providers, whose calls the connector verifies.
      if (path.startsWith('/v1/receipts/')) continue;
      assert.ok(
        !hasBody || operationId in bodies || operationId === 'uploadRecipients',
        `this test has no body for ${operationId}`,
      );
      // Stops of a batch go by its label, which each tenant has for itself.
      const isLabel = /(recall|pause|resume)$/.test(path);
      const [, collection = ''] = /^\/v1\/([^/]+)/.exec(path) ?? [];
      for (const id of idsOf[collection] ?? ['']) {
        const address = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
          if (name === 'batch') return isLabel ? 'spring' : things.batchId;
          const value = name === 'id' ? id : placesOf[name];
          assert.ok(value, `${operationId}: no value for ${name}`);
          return value;
        });
        const isUpload = operationId === 'uploadRecipients';
        const answer = await fetch(`http://127.0.0.1:${system.config.ingestPort}${address}`, {
          method,
          headers: {
            ...stranger,
            'if-match': '"1"',
            ...(hasBody && { 'content-type': isUpload ? 'text/csv' : 'application/json' }),
          },
          ...(hasBody && { body: isUpload ? 'phone\n138' : JSON.stringify(bodies[operationId]) }),
          // A stream does not end.
          signal: AbortSignal.timeout(operationId === 'streamInboxEvents' ? 1500 : 20_000),
        });
        const text = await answer.text().catch(() => '');
        assert.ok(!text.includes(mark), `${operationId} shows it: ${text}`);
        assert.ok(answer.status < 500, `${operationId}: ${answer.status} ${text}`);
        if (path.includes('{id}') || (path.includes('{batch}') && !isLabel))
          assert.equal(answer.status, 404, `${operationId}: ${answer.status} ${text}`);
        seen.push(`${operationId} ${answer.status}`);
      }
    }
    assert.deepEqual(await readAll(), before);
    t.diagnostic(`${operations.length} operations: ${[...new Set(seen)].join(', ')}`);
  });
});
