import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endStatuses } from '../../contracts/status.ts';
import { explainWait, type Facts, type Wait } from './wait.ts';
import type { PendingSend, RunFacts } from './run.ts';

const nowMs = Date.parse('2026-11-21T08:00:00Z');
const later = '2026-11-21T08:05:00.000Z';
const earlier = '2026-11-21T07:55:00.000Z';
const account = { name: 'sms', ratePerSecond: 20, isStopped: false, limitInForce: 20 };
const circuit = { reason: { code: 'auth-invalid', detail: 'bad secret' }, nextTryAt: later };
const known: Facts = {
  status: 'sending',
  run: undefined,
  account,
  ahead: 3,
  paceSeconds: 30,
  nowMs,
};
const run = (more: Partial<RunFacts> = {}): RunFacts => ({ runId: 'r', isRunning: true, ...more });
const send = (more: Partial<PendingSend> = {}): RunFacts =>
  run({ send: { state: 'scheduled', attempt: 1, ...more } });

const cases: Record<
  string,
  [facts: Partial<Facts>, code: Wait['code'], detail: RegExp, nextTryAt?: string]
> = {
  'in RocketMQ': [{ status: 'accepted' }, 'broker', /in RocketMQ; its run begins/],
  'in RocketMQ behind a full account queue': [
    { status: 'accepted', ahead: 600 },
    'broker',
    /queue of its account is full: about 600 at its priority or above, sent at 20 a second/,
  ],
  'in RocketMQ while its account is held': [
    { status: 'accepted', circuit },
    'circuit',
    /still in RocketMQ: its account is held: auth-invalid: bad secret/,
    later,
  ],
  'in RocketMQ, recalled': [
    { status: 'accepted', stop: { verdict: 'recalled', detail: 'batch x was recalled: wrong' } },
    'broker',
    /end as recalled: batch x was recalled: wrong/,
  ],
  'behind its ordering key': [
    { status: 'accepted', snapshot: { orderingKey: 'a/b' } },
    'ordering-key',
    /accepted before it/,
  ],
  'behind a stopped ordering key': [
    { status: 'accepted', snapshot: { orderingKey: 'a/b' }, isKeyStopped: true },
    'ordering-key',
    /POST \/v1\/ordering-keys\/a%2Fb\/resume/,
  ],
  'before its time': [{ run: run({ startsAt: later }) }, 'time', /its time/, later],
  'before its time, with an ordering key': [
    { run: run({ state: 'scheduled' }), snapshot: { sendAt: later } },
    'time',
    /its time/,
    later,
  ],
  'in quiet hours': [
    {
      run: run({ state: 'held' }),
      snapshot: {
        reason: { code: 'quiet-hours', detail: 'quiet hours of the tenant' },
        nextAttemptAt: later,
      },
    },
    'quiet-hours',
    /quiet hours of the tenant/,
    later,
  ],
  paused: [
    {
      run: run({ state: 'held' }),
      stop: { verdict: 'paused', detail: 'template offer was paused: wrong price' },
    },
    'pause',
    /template offer was paused: wrong price/,
  ],
  'just resumed': [
    { run: run({ state: 'held' }), snapshot: { reason: { code: 'paused', detail: 'before' } } },
    'pause',
    /looks again/,
  ],
  'held, with the index away': [{ run: run({ state: 'held' }) }, 'pause', /held; it looks again/],
  'no workflow worker': [{ run: run() }, 'worker', /workflow worker/],
  'a receipt that leads on': [
    { run: run(), snapshot: { reason: { code: 'awaiting-receipt', detail: 'no receipt yet' } } },
    'receipt',
    /another channel follows/,
  ],
  'its turn': [{ run: send() }, 'account-queue', /about 3 are ahead, at most 20 a second/],
  'its turn again': [
    { run: send({ nextAttemptAt: earlier, lastFailure: { code: 'transient' } }) },
    'account-queue',
    /the last attempt: transient/,
  ],
  'a stopped account': [
    { run: send(), account: { ...account, isStopped: true, limitInForce: 0 } },
    'account-stopped',
    /account sms is stopped/,
  ],
  'a limit of 0 that nobody explains': [
    { run: send(), account: { ...account, limitInForce: 0 } },
    'account-stopped',
    /limit of account sms in force is 0/,
  ],
  'an account at fault': [{ run: send(), circuit }, 'circuit', /bad secret/, later],
  'the next attempt': [
    {
      run: send({
        attempt: 4,
        nextAttemptAt: later,
        lastFailure: { code: 'rate-limited', detail: 'slow down' },
      }),
    },
    'retry',
    /attempt 4; the last attempt: rate-limited: slow down/,
    later,
  ],
  'a call under way': [
    { run: send({ state: 'started', startedAt: earlier }) },
    'provider',
    /under way since 2026/,
  ],
  'an operator': [{ run: send({ state: 'paused' }) }, 'operator', /operator has paused/],
  'nothing, sent': [{ status: 'sent' }, 'nothing', /ended as sent; a receipt may still come/],
  'nothing, failed': [
    { status: 'failed', snapshot: { reason: { code: 'recipient-invalid' } } },
    'nothing',
    /ended as failed \(recipient-invalid\)/,
  ],
  'nothing, before the index knows': [
    { status: 'sending', run: run({ isRunning: false }) },
    'nothing',
    /run has ended/,
  ],
  'a delivery that was begun again': [
    { status: 'failed', run: send({ state: 'started' }) },
    'provider',
    /under way/,
  ],
  'nobody can say': [
    { run: 'away', status: 'retrying' },
    'not-known',
    /Temporal does not answer; when last heard of it was retrying/,
  ],
  'nobody can say anything': [{ run: 'away' }, 'not-known', /Temporal does not answer$/],
};

describe('what a message waits for', () => {
  for (const [name, [facts, code, detail, nextTryAt]] of Object.entries(cases))
    it(name, () => {
      const { status, ...rest } = known;
      const base =
        name === 'nobody can say anything'
          ? rest
          : { ...rest, ...(status !== undefined && { status }) };
      const wait = explainWait({ ...base, ...facts });
      assert.equal(wait.code, code);
      assert.match(wait.detail, detail);
      assert.equal(wait.nextTryAt, nextTryAt);
    });

  it('nothing, once it has ended, also while Temporal is away', () => {
    for (const status of endStatuses)
      assert.equal(explainWait({ ...known, status, run: 'away' }).code, 'nothing');
  });
});
