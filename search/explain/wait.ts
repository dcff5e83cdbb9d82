/** What a message waits for, in words, out of what the servers know of it. Pure: the same facts, the same words. */
import type { Reason, Snapshot } from '../../contracts/result.ts';
import { isEnd, type Status } from '../../contracts/status.ts';
import type { Verdict } from '../../contracts/stops.ts';
import type { Account } from '../../contracts/template.ts';
import type { RunFacts } from './run.ts';

export const waits = [
  'nothing',
  'not-known',
  'broker',
  'ordering-key',
  'worker',
  'time',
  'quiet-hours',
  'pause',
  'operator',
  'account-stopped',
  'circuit',
  'account-queue',
  'provider',
  'retry',
  'receipt',
] as const;

export interface Wait {
  readonly code: (typeof waits)[number];
  readonly detail: string;
  /** ISO time at which it goes on, where that is known. */
  readonly nextTryAt?: string;
}

export interface Facts {
  readonly status?: Status;
  readonly snapshot?: Pick<Snapshot, 'reason' | 'nextAttemptAt' | 'sendAt' | 'orderingKey'>;
  /** `away`: Temporal does not answer; undefined: there is no run. */
  readonly run: RunFacts | 'away' | undefined;
  readonly account?: Pick<Account, 'name' | 'ratePerSecond' | 'isStopped' | 'limitInForce'>;
  readonly circuit?: { readonly reason: Reason; readonly nextTryAt: string };
  /** What the stops say; undefined: they cannot be read. */
  readonly stop?: Verdict;
  /** About how many are ahead of it in its account's queue. */
  readonly ahead?: number;
  readonly isKeyStopped?: boolean;
  /** How many seconds of work an account's queue holds before the rest stays in RocketMQ. */
  readonly paceSeconds: number;
  readonly nowMs: number;
}

const words = ({ code, detail }: Reason) => (detail === undefined ? code : `${code}: ${detail}`);

/** Says it. */
export function explainWait(facts: Facts): Wait {
  const { run, status, snapshot } = facts;
  if (run !== 'away' && run?.isRunning === true) return inRun(facts, run);
  if (status !== undefined && isEnd(status)) {
    const why = snapshot?.reason === undefined ? '' : ` (${words(snapshot.reason)})`;
    const more = status === 'sent' ? '; a receipt may still come' : '';
    return { code: 'nothing', detail: `it has ended as ${status}${why}${more}` };
  }
  if (run === 'away')
    return {
      code: 'not-known',
      detail: `Temporal does not answer${status === undefined ? '' : `; when last heard of it was ${status}`}`,
    };
  if (run !== undefined)
    return { code: 'nothing', detail: 'its run has ended; the index will show how in a moment' };
  return beforeRun(facts);
}

/** Accepted, and no run yet. */
function beforeRun(facts: Facts): Wait {
  const { stop, snapshot, isKeyStopped, account, ahead, paceSeconds } = facts;
  if (stop?.verdict === 'recalled')
    return { code: 'broker', detail: `in RocketMQ; it will end as recalled: ${stop.detail}` };
  if (snapshot?.orderingKey !== undefined)
    return {
      code: 'ordering-key',
      detail: isKeyStopped
        ? `its ordering key has stopped behind a message that was not delivered; POST /v1/ordering-keys/${encodeURIComponent(snapshot.orderingKey)}/resume lets the next one go`
        : 'behind the messages of its ordering key that were accepted before it, in Temporal or still in RocketMQ',
    };
  const held = heldAccount(facts);
  if (held !== undefined) return { ...held, detail: `still in RocketMQ: ${held.detail}` };
  const limit = account?.limitInForce ?? account?.ratePerSecond;
  return {
    code: 'broker',
    detail:
      ahead !== undefined && limit !== undefined && ahead >= limit * paceSeconds
        ? `still in RocketMQ, since the queue of its account is full: about ${ahead} at its priority or above, sent at ${limit} a second`
        : 'in RocketMQ; its run begins when the bridge comes to it',
  };
}

function inRun(facts: Facts, run: RunFacts): Wait {
  const { snapshot, stop, nowMs, ahead, account } = facts;
  if (run.startsAt !== undefined) return until('time', 'its time to be sent', run.startsAt);
  if (run.state === 'scheduled') return until('time', 'its time to be sent', snapshot?.sendAt);
  if (run.state === 'held') {
    if (stop?.verdict === 'paused') return { code: 'pause', detail: stop.detail };
    const { reason, nextAttemptAt } = snapshot ?? {};
    if (reason?.code === 'quiet-hours')
      return until('quiet-hours', reason.detail ?? 'quiet hours', nextAttemptAt);
    return {
      code: 'pause',
      detail: `held${reason === undefined ? '' : `: ${words(reason)}`}; it looks again within a quarter of an hour`,
    };
  }
  const { send } = run;
  if (send === undefined)
    return snapshot?.reason?.code === 'awaiting-receipt'
      ? {
          code: 'receipt',
          detail: `${words(snapshot.reason)}; another channel follows without one`,
        }
      : { code: 'worker', detail: 'its run goes on when a workflow worker takes it' };
  const failed =
    send.lastFailure === undefined ? '' : `; the last attempt: ${words(send.lastFailure)}`;
  if (send.state === 'paused')
    return { code: 'operator', detail: `an operator has paused its sending in Temporal${failed}` };
  if (send.state === 'started')
    return {
      code: 'provider',
      detail: `attempt ${send.attempt} is under way${send.startedAt === undefined ? '' : ` since ${send.startedAt}`}${failed}`,
    };
  if (send.nextAttemptAt !== undefined && Date.parse(send.nextAttemptAt) > nowMs)
    return until('retry', `attempt ${send.attempt}${failed}`, send.nextAttemptAt);
  const held = heldAccount(facts);
  if (held !== undefined) return { ...held, detail: held.detail + failed };
  const limit = account?.limitInForce ?? account?.ratePerSecond;
  return {
    code: 'account-queue',
    detail: `its turn in the queue of its account${ahead === undefined ? '' : `: about ${ahead} are ahead`}${limit === undefined ? '' : `, at most ${limit} a second`}${failed}`,
  };
}

/** Why nothing goes through the account. */
function heldAccount({ account, circuit }: Facts): Wait | undefined {
  if (account?.isStopped === true)
    return { code: 'account-stopped', detail: `account ${account.name} is stopped (isStopped)` };
  if (circuit !== undefined)
    return until('circuit', `its account is held: ${words(circuit.reason)}`, circuit.nextTryAt);
  return account?.limitInForce === 0
    ? { code: 'account-stopped', detail: `the limit of account ${account.name} in force is 0` }
    : undefined;
}

const until = (code: Wait['code'], detail: string, nextTryAt: string | undefined): Wait => ({
  code,
  detail,
  ...(nextTryAt !== undefined && { nextTryAt }),
});
