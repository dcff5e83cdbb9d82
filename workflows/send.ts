/** Stage 5 as the run sees it: one activity on the queue of the account, retried by the server. */
import {
  ActivityFailure,
  CancellationScope,
  proxyActivities,
  setCurrentDetails,
  sleep,
} from '@temporalio/workflow';
import {
  paused,
  type RenderResult,
  type SendActivities,
  type SendReport,
} from '../contracts/activities.ts';
import { standInAfterMs, stuckAfterMs } from '../contracts/workflows.ts';
import { applicationFailureIn, type Ending } from './ending.ts';
import type { DeliverRun } from './run.ts';

type Rendered = Extract<RenderResult, { next: 'send' }>;

/** Sends on the run's present way. Errors: the failure that says why not. */
export async function sendOn(run: DeliverRun, rendered: Rendered): Promise<Ending> {
  const { content } = rendered;
  const sent = await untilStuck(run, sendWithin(run, rendered));
  return {
    status: 'sent',
    ...pinnedOf(rendered),
    ...sent,
    ...(content !== undefined && { content }),
  };
}

/** What was decided when it was rendered, and holds however often it is sent. */
export function pinnedOf({ templateVersion, language }: Rendered) {
  return { templateVersion, ...(language !== undefined && { language }) };
}

/** What the send said when it handed the message back because it was paused meanwhile; undefined: it did not. */
export function pausedAfter(error: unknown): SendReport | undefined {
  const failure = error instanceof ActivityFailure ? applicationFailureIn(error.cause) : undefined;
  return failure?.type === paused ? (failure.details?.[0] as SendReport) : undefined;
}

/** The server retries send, spaced by the provider's word, for as long as the message is worth it. */
function sendWithin(run: DeliverRun, rendered: Rendered): Promise<SendReport> {
  const { attemptTimeoutMs } = rendered;
  const { sendQueue, connector, accountId } = run.route;
  const { priority } = run.input.message;
  const { hasStandIn } = run;
  setCurrentDetails(`waiting for ${connector} through account ${accountId}`);
  const { send } = proxyActivities<SendActivities>({
    taskQueue: sendQueue,
    startToCloseTimeout: attemptTimeoutMs,
    // send begins no attempt after the message's life; the margin lets the last one that began conclude.
    scheduleToCloseTimeout: run.lifeMs + attemptTimeoutMs,
    // An account that cannot take it, held or swamped, gives way to one that can.
    ...(hasStandIn && { scheduleToStartTimeout: standInAfterMs[priority] }),
    retry: { initialInterval: '1 second', maximumInterval: '5 minutes' },
    summary: `${connector} through ${accountId}`,
  });
  return send({
    message: run.message(),
    ...pinnedOf(rendered),
    redrive: run.input.redrive,
    round: run.round,
    toldBefore: run.toldBefore,
    callsBefore: run.calls,
    triedBefore: run.tried,
    hasStandIn,
  });
}

/** Waits for the send; once it takes too long the run is marked, so that operators find it by a list filter. */
async function untilStuck(run: DeliverRun, sending: Promise<SendReport>): Promise<SendReport> {
  const timer = new CancellationScope();
  const late = timer
    .run(() => sleep(stuckAfterMs[run.kind], { summary: 'marks the run as stuck' }))
    .then(
      () => run.mark('stuck'),
      () => undefined,
    );
  try {
    return await sending;
  } finally {
    timer.cancel();
    await late;
  }
}
