/**
 * What every connector must do, tried against its simulator. A channel calls `testConnector` in its
 * conformance.test.ts; a case that cannot apply is skipped with a reason, never left out.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Check } from 'typebox/value';
import type { AccountAccess, ReceiptRequest } from '../contracts/channel.ts';
import type { To } from '../contracts/message.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import type { ConformanceFault, ConformanceTarget, RefusalCase } from './conformance-target.ts';

const cases = [
  'accepts',
  'refuse-connect',
  'error-before-accept',
  'reset-before-accept',
  'accept-then-5xx',
  'accept-then-reset',
  'accept-then-hang',
  'accept-then-slow-body',
  'accept-then-html',
  'html-502',
  'repeat',
  'token-revoked',
  'recall',
  'batch',
  'ask-receipts',
  'abort-before',
  'abort-during',
  'reconcile-yes',
  'reconcile-no',
  'reconcile-cannot-tell',
  'verify-good',
  'verify-bad',
  'bad-credentials',
  'receipts-genuine',
  'receipts-forged',
  'receipts-malformed',
  'content-schema',
  'account-schemas',
] as const;
export type ConformanceCase = (typeof cases)[number];

export interface ConformanceOptions<Target extends ConformanceTarget> {
  readonly start: () => Promise<Target>;
  readonly refusals: readonly RefusalCase<Target>[];
  /** Case → why it cannot apply to this channel. */
  readonly skip?: Readonly<Partial<Record<ConformanceCase, string>>>;
}

/** Declares the suite of one connector. Cases run side by side: a target tells them apart by address. */
export function testConnector<Target extends ConformanceTarget>(
  name: string,
  options: ConformanceOptions<Target>,
): void {
  describe(`connector ${name}`, { concurrency: true }, () => {
    let target: Target;
    const closers: (() => Promise<void>)[] = [];
    before(async () => {
      target = await options.start();
    });
    after(async () => {
      for (const close of closers) await close();
      await target.close();
    });
    const open = (account: AccountAccess) => {
      const client = target.connector.createClient(account);
      closers.push(() => client.close());
      return client;
    };
    const check = (title: ConformanceCase, sentence: string, body: () => Promise<void>) => {
      const reason = options.skip?.[title];
      test(`${title}: ${sentence}`, reason === undefined ? {} : { skip: reason }, body);
    };
    let sent = 0;
    const newKey = () => {
      sent += 1;
      return `msg_conformance${String(sent).padStart(15, '0')}.0.${'0'.repeat(16)}`;
    };
    const send = async (request: {
      readonly account?: AccountAccess;
      readonly to?: To;
      readonly content?: unknown;
      readonly signal?: AbortSignal;
      readonly deliveryKey?: string;
    }) => {
      const deliveryKey = request.deliveryKey ?? newKey();
      const sentAt = new Date().toISOString();
      const to = request.to ?? target.newAddress();
      const outcome = await open(request.account ?? target.account).send({
        to,
        content: request.content ?? target.contentFor?.(deliveryKey) ?? target.content,
        deliveryKey,
        signal: request.signal ?? new AbortController().signal,
      });
      assertKeepsQuiet(outcome, to);
      return { outcome, deliveryKey, sentAt, to };
    };
    const sendWith = (fault: ConformanceFault) => {
      const to = target.newAddress();
      target.inject(fault, to);
      return send({ to });
    };
    const reconcile = (
      call: { to: To; deliveryKey: string; sentAt: string },
      account?: AccountAccess,
    ) => {
      const client = open(account ?? target.account);
      assert.ok(client.reconcile !== undefined, 'canReconcile promises reconcile');
      return client.reconcile({ ...call, signal: new AbortController().signal });
    };

    check('accepts', 'a good message is accepted once and has a provider id', async () => {
      const { outcome, deliveryKey } = await send({});
      assert.equal(outcome.class, 'accepted');
      assert.ok(outcome.class === 'accepted' && outcome.providerId !== '');
      assert.equal(target.acceptedCount(deliveryKey), 1);
    });
    for (const refusal of options.refusals)
      test(`refusal: ${refusal.name} is ${refusal.outcome}`, async () => {
        const to = target.newAddress();
        const wanted = await refusal.arrange(target, to);
        const { outcome, deliveryKey } = await send({ to, ...wanted });
        assert.equal(outcome.class, refusal.outcome);
        assert.equal(outcome.providerCode, refusal.providerCode);
        assert.equal(target.acceptedCount(deliveryKey), 0);
      });
    check('refuse-connect', 'a refused connection is transient', async () => {
      const { outcome } = await send({ account: target.unreachableAccount });
      assert.equal(outcome.class, 'transient');
    });
    check('error-before-accept', 'a server error that took nothing is not accepted', async () => {
      const { outcome, deliveryKey } = await sendWith('error-before-accept');
      assert.ok(['transient', 'ambiguous'].includes(outcome.class), outcome.class);
      assert.equal(target.acceptedCount(deliveryKey), 0);
    });
    check('html-502', 'a page of a proxy is ambiguous', async () => {
      const { outcome } = await sendWith('html-502');
      assert.equal(outcome.class, 'ambiguous');
    });
    check(
      'reset-before-accept',
      'a reset that took nothing cannot be told from one that did',
      async () => {
        const { outcome, deliveryKey } = await sendWith('reset-before-accept');
        assert.equal(outcome.class, 'ambiguous');
        assert.equal(target.acceptedCount(deliveryKey), 0);
      },
    );
    for (const fault of [
      'accept-then-5xx',
      'accept-then-reset',
      'accept-then-hang',
      'accept-then-slow-body',
      'accept-then-html',
    ] as const)
      check(fault, 'is ambiguous, within the call limit, and sent once', async () => {
        const startedAt = Date.now();
        const { outcome, deliveryKey } = await sendWith(fault);
        assert.equal(outcome.class, 'ambiguous');
        assert.equal(target.acceptedCount(deliveryKey), 1);
        const limitMs = target.connector.capabilities.callTimeoutMs + 3000;
        assert.ok(Date.now() - startedAt < limitMs, 'took longer than callTimeoutMs');
      });
    check('repeat', 'a repeated call reaches nobody a second time', async () => {
      const { dedupe } = target.connector.capabilities;
      assert.notEqual(dedupe.by, 'none', 'skip this case with a reason');
      const first = await send({});
      const again = await send({ to: first.to, deliveryKey: first.deliveryKey });
      assert.equal(first.outcome.class, 'accepted');
      assert.ok(['accepted', 'duplicate'].includes(again.outcome.class), again.outcome.class);
      assert.equal(target.visibleCount(first.deliveryKey), 1);
    });
    test('capabilities agree with what the client can do', () => {
      const { connector, receipts } = target;
      const { capabilities } = connector;
      const client = open(target.account);
      assert.equal(client.reconcile !== undefined, capabilities.canReconcile);
      assert.equal(client.recall !== undefined, capabilities.recallWithinMs > 0);
      assert.equal(client.sendBatch !== undefined, capabilities.batch !== undefined);
      assert.equal(client.askReceipts !== undefined, capabilities.askReceiptsAfterMs.length > 0);
      assert.equal(receipts !== undefined, capabilities.receipts === 'push');
      if (capabilities.receipts === 'push') assert.ok(connector.parseReceipts !== undefined);
    });
    check(
      'token-revoked',
      'fifty calls in flight with a stale token make one new one',
      async () => {
        const { tokens } = target;
        assert.ok(tokens !== undefined, 'skip this case with a reason');
        const client = open(target.account);
        const sendAll = (count: number) =>
          Promise.all(
            Array.from({ length: count }, () => {
              const deliveryKey = newKey();
              const content = target.contentFor?.(deliveryKey) ?? target.content;
              const { signal } = new AbortController();
              return client.send({ to: target.newAddress(), content, deliveryKey, signal });
            }),
          );
        await sendAll(1);
        const before = tokens.fetched();
        tokens.revoke();
        const outcomes = await sendAll(50);
        for (const outcome of outcomes)
          assert.equal(outcome.class, 'accepted', JSON.stringify(outcome));
        assert.equal(tokens.fetched(), before + 1);
      },
    );
    check('recall', 'a recalled message is no longer to be seen, twice the same', async () => {
      const { outcome, ...call } = await send({});
      assert.equal(target.visibleCount(call.deliveryKey), 1);
      const client = open(target.account);
      const { signal } = new AbortController();
      const providerId = outcome.class === 'accepted' ? outcome.providerId : undefined;
      for (const _ of [1, 2]) {
        const recalled = await client.recall?.({ ...call, providerId, signal });
        assert.ok(recalled !== undefined && ['accepted', 'duplicate'].includes(recalled.class));
        assert.equal(target.visibleCount(call.deliveryKey), 0);
      }
    });
    check('batch', 'one call, an outcome for each; one bad address sinks nobody else', async () => {
      const client = open(target.account);
      const { batch } = target;
      assert.ok(client.sendBatch !== undefined && batch !== undefined);
      const shared = newKey();
      const messages = [target.newAddress(), batch.badAddress, target.newAddress()].map((to) => {
        const deliveryKey = newKey();
        const isSame = target.connector.capabilities.batch?.content === 'same';
        const content = target.contentFor?.(isSame ? shared : deliveryKey) ?? target.content;
        return { to, deliveryKey, content };
      });
      const outcomes = await client.sendBatch(messages, new AbortController().signal);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.class),
        ['accepted', batch.outcome, 'accepted'],
        JSON.stringify(outcomes),
      );
    });
    check('ask-receipts', 'what the provider knows is told, and nothing of others', async () => {
      const { outcome, ...call } = await send({});
      await target.settle?.(call.deliveryKey);
      const client = open(target.account);
      const providerId = outcome.class === 'accepted' ? outcome.providerId : undefined;
      const unknown = { ...call, deliveryKey: newKey(), providerId: '404404404' };
      const told = await client.askReceipts?.(
        [{ ...call, providerId }, unknown],
        new AbortController().signal,
      );
      assert.equal(told?.length, 1, JSON.stringify(told));
      const [receipt] = told ?? [];
      assert.equal(receipt?.status, 'delivered');
      assert.ok(receipt?.deliveryKey === call.deliveryKey || receipt?.providerId === providerId);
      assert.ok(!Number.isNaN(Date.parse(receipt?.occurredAt ?? '')));
    });
    check('abort-before', 'an aborted signal sends nothing and is transient', async () => {
      const { outcome, deliveryKey } = await send({ signal: AbortSignal.abort() });
      assert.equal(outcome.class, 'transient');
      assert.equal(target.acceptedCount(deliveryKey), 0);
    });
    check('abort-during', 'an abort while waiting for the answer is ambiguous', async () => {
      const to = target.newAddress();
      target.inject('accept-then-hang', to);
      const startedAt = Date.now();
      const deliveryKey = newKey();
      const controller = new AbortController();
      const sending = send({ to, deliveryKey, signal: controller.signal });
      const { callTimeoutMs } = target.connector.capabilities;
      while (target.acceptedCount(deliveryKey) === 0 && Date.now() < startedAt + callTimeoutMs)
        await new Promise((resolve) => setTimeout(resolve, 10));
      controller.abort();
      const { outcome } = await sending;
      assert.equal(outcome.class, 'ambiguous');
      assert.ok(Date.now() - startedAt < target.connector.capabilities.callTimeoutMs);
    });
    check('reconcile-yes', 'a message whose answer was lost is found', async () => {
      const call = await sendWith('accept-then-reset');
      assert.equal((await reconcile(call)).found, 'yes');
    });
    check(
      'reconcile-no',
      'a message that never arrived is not found, others notwithstanding',
      async () => {
        const call = await sendWith('reset-before-accept');
        await send({ to: call.to });
        assert.equal((await reconcile(call)).found, 'no');
      },
    );
    check('reconcile-cannot-tell', 'unreachable or refused books tell nothing', async () => {
      const call = await sendWith('reset-before-accept');
      for (const account of [target.unreachableAccount, target.strangerAccount])
        assert.equal((await reconcile(call, account)).found, 'cannot-tell');
    });
    check('verify-good', 'a working account is accepted', async () => {
      const outcome = await open(target.account).verify(new AbortController().signal);
      assert.equal(outcome.class, 'accepted');
    });
    check(
      'verify-bad',
      'wrong credentials are auth-invalid, an unreachable provider is transient',
      async () => {
        const { signal } = new AbortController();
        assert.equal((await open(target.strangerAccount).verify(signal)).class, 'auth-invalid');
        assert.equal((await open(target.unreachableAccount).verify(signal)).class, 'transient');
      },
    );
    check('bad-credentials', 'a send with wrong credentials is auth-invalid', async () => {
      const { outcome, deliveryKey } = await send({ account: target.strangerAccount });
      assert.equal(outcome.class, 'auth-invalid');
      assert.equal(target.acceptedCount(deliveryKey), 0);
    });

    const receiving = () => {
      const { connector, receipts, account } = target;
      assert.ok(connector.parseReceipts !== undefined && receipts !== undefined);
      const parse = connector.parseReceipts.bind(connector);
      return { receipts, parse: (request: ReceiptRequest) => parse(request, account) };
    };
    check('receipts-genuine', 'tells what became of the message, twice the same', async () => {
      const { outcome, deliveryKey } = await send({});
      const { receipts, parse } = receiving();
      const request = await receipts.genuine(deliveryKey);
      const parsed = parse(request);
      assert.ok(parsed.result === 'receipts', JSON.stringify(parsed));
      const receipt = parsed.receipts.find(
        (each) =>
          each.deliveryKey === deliveryKey ||
          (outcome.class === 'accepted' && each.providerId === outcome.providerId),
      );
      assert.equal(receipt?.status, 'delivered');
      const ageMs = Date.now() - Date.parse(receipt?.occurredAt ?? '');
      assert.ok(Math.abs(ageMs) < 60_000, `occurredAt is ${receipt?.occurredAt}`);
      assert.ok(parsed.reply.status >= 200 && parsed.reply.status < 300);
      assert.deepEqual(parse(request), parsed);
    });
    check('receipts-forged', 'a receipt of a stranger is refused', async () => {
      const { deliveryKey } = await send({});
      const { receipts, parse } = receiving();
      const parsed = parse(receipts.forge(await receipts.genuine(deliveryKey)));
      assert.ok(parsed.result === 'refused' && parsed.reason === 'signature');
    });
    check('receipts-malformed', 'what cannot be read is refused', async () => {
      const { receipts, parse } = receiving();
      for (const request of receipts.malformed) assert.equal(parse(request).result, 'refused');
    });
    check(
      'content-schema',
      'takes its own content and refuses extra or missing fields',
      async () => {
        const { connector, content } = target;
        assert.ok(Check(connector.contentSchema, content));
        assert.ok(!Check(connector.contentSchema, { ...content, extra: 1 }));
        assert.ok(!Check(connector.contentSchema, {}));
        assert.notEqual(connector.contentText(content), '');
      },
    );
    check('account-schemas', 'settings and secrets refuse what they do not know', async () => {
      const { connector, account } = target;
      const { settingsSchema, secretsSchema } = connector;
      assert.ok(Check(settingsSchema, account.settings) && Check(secretsSchema, account.secrets));
      assert.ok(!Check(settingsSchema, { ...(account.settings as object), extra: 1 }));
      assert.ok(!Check(secretsSchema, { ...(account.secrets as object), extra: 1 }));
      assert.throws(
        () => connector.createClient({ ...account, secrets: { extra: 'hush' } }),
        /^(?!.*hush)/s,
      );
    });
  });
}

/** Neither code nor text of the provider may carry the address into logs and search. */
function assertKeepsQuiet(outcome: SendOutcome, to: To): void {
  const text = JSON.stringify([outcome.providerCode, outcome.providerMessage]);
  for (const address of Object.values(to))
    assert.ok(!text.includes(address.replace(/^\+/, '')), 'the address is in the provider message');
}
