import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AccountAccess } from '../../contracts/channel.ts';
import { addressOf, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { Problem } from '../../contracts/problems.ts';
import { createLogger } from '../../platform/logger.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore } from '../../store/index.ts';
import { createDatabase } from '../../tests/stack.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { createInboxBuiltin } from './index.ts';

const tenantId = 'ten_1';
const content = { title: '您好', body: '您的订单已发货。', url: '/orders/1' };
const noCall = 'the provider is our own database, which is no HTTP server';
const noSecrets = 'there are no credentials';
const noPush = 'what was read is told by ingest, see tests/guarantees/inbox.test.ts';

testConnector<ConformanceTarget>('inbox-builtin', {
  start,
  refusals: [
    refusal('a url that a browser would run', 'url-unsafe', { url: 'java\tscript:alert(1)' }),
    refusal('a url of data', 'url-unsafe', { url: ' data:text/html,hi' }),
    refusal('a title that came out empty', 'content-invalid', { title: '' }),
    refusal('a text too long', 'content-invalid', { body: '长'.repeat(20_001) }),
  ],
  skip: {
    'error-before-accept': noCall,
    'reset-before-accept': noCall,
    'accept-then-5xx': noCall,
    'accept-then-reset': 'the store tests show it: a commit without an answer is in doubt',
    'accept-then-hang': noCall,
    'accept-then-slow-body': noCall,
    'accept-then-html': noCall,
    'html-502': noCall,
    'token-revoked': noSecrets,
    batch: 'a put costs the same alone',
    'ask-receipts': noPush,
    'abort-during': 'a put takes milliseconds, and ends by itself within its time limit',
    'reconcile-yes': 'a repeat is recognised, so nothing has to be asked',
    'reconcile-no': 'a repeat is recognised, so nothing has to be asked',
    'reconcile-cannot-tell': 'a repeat is recognised, so nothing has to be asked',
    'verify-bad': noSecrets,
    'bad-credentials': noSecrets,
    'receipts-genuine': noPush,
    'receipts-forged': noPush,
    'receipts-malformed': noPush,
  },
});

test('a database that is away makes verify and recall transient', async () => {
  const target = await start();
  const client = target.connector.createClient(target.unreachableAccount);
  const { signal } = new AbortController();
  const message = {
    to: { userId: 'u-1' },
    deliveryKey: 'msg_1.0.1',
    providerId: undefined,
    sentAt: new Date().toISOString(),
    signal,
  };
  assert.equal((await client.verify(signal)).class, 'transient');
  assert.equal((await client.recall?.(message))?.class, 'transient');
  await target.close();
});

test('a commit without an answer is ambiguous, and its repeat is a duplicate or the first', async () => {
  const outcomes: OutcomeClass[] = [];
  for (const stored of ['unknown', 'no'] as const) {
    const connector = createInboxBuiltin({
      inbox: {
        put: () => Promise.reject(new Problem('store-unavailable', { stored })),
        recall: () => Promise.reject(new Error('not called')),
        check: () => Promise.reject(new Error('not called')),
      },
    });
    const client = connector.createClient({ id: 'acc_1', tenantId, settings: {}, secrets: {} });
    const { signal } = new AbortController();
    const request = { to: { userId: 'u-1' }, content, deliveryKey: 'msg_1.0.1', signal };
    outcomes.push((await client.send(request)).class);
  }
  assert.deepEqual(outcomes, ['ambiguous', 'transient']);
});

async function start(): Promise<ConformanceTarget> {
  const database = await createDatabase();
  const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
  const logger = createLogger('test', 'fatal');
  const open = (mysqlUrl: string) => createStore({ mysqlUrl, sealer, slots: 1, logger });
  const store = open(database.url);
  await store.migrate();
  const awayUrl = new URL(database.url);
  awayUrl.port = String(await closedPort());
  const away = open(awayUrl.toString());
  const account: AccountAccess = { id: 'acc_1', tenantId, settings: {}, secrets: {} };
  const unreachableAccount = { ...account, id: 'acc_away' };
  const here = createInboxBuiltin(store.connectorState);
  const nowhere = createInboxBuiltin(away.connectorState);
  let users = 0;
  /** User id → delivery keys of the items that they can see. */
  const seen = new Map<string, readonly string[]>();
  const look = async (to: To) => {
    const { value } = addressOf(to);
    const owner = await store.inbox.ownerOf(tenantId, value);
    const { items } = await store.inbox.list(owner, { filter: 'all', limit: 100 });
    seen.set(
      value,
      items.map(({ id }) => id),
    );
  };
  const countOf = (deliveryKey: string) =>
    [...seen.values()].flat().filter((id) => id === deliveryKey).length;
  return {
    connector: {
      ...here,
      // The suite asks the books without waiting, so they are read after each call.
      createClient: (access) => {
        const isAway = access.id === unreachableAccount.id;
        const client = (isAway ? nowhere : here).createClient(access);
        return {
          ...client,
          send: async (request) => {
            const outcome = await client.send(request);
            await look(request.to);
            return outcome;
          },
          ...(client.recall !== undefined && {
            recall: async (message) => {
              const outcome = (await client.recall?.(message)) ?? { class: 'transient' };
              await look(message.to);
              return outcome;
            },
          }),
        };
      },
    },
    account,
    strangerAccount: account,
    unreachableAccount,
    content,
    newAddress: () => {
      users += 1;
      return { userId: `u-${users}` };
    },
    inject: () => {
      throw new Error('no case that injects faults applies');
    },
    acceptedCount: countOf,
    visibleCount: countOf,
    close: async () => {
      await store.close();
      await away.close();
      await database.drop();
    },
  };
}

function refusal(
  name: string,
  providerCode: string,
  change: object,
): RefusalCase<ConformanceTarget> {
  return {
    name,
    outcome: 'content-rejected',
    providerCode,
    arrange: () => ({ content: { ...content, ...change } }),
  };
}
