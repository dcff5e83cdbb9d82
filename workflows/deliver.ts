/** Stages 3 to 6 of a message: render, send, report. One run is one message; its id is the message's id. */
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  TemporalFailure,
  TimeoutFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  sleep,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import {
  RetryState,
  SearchAttributeType,
  TimeoutType,
  defineSearchAttributeKey,
} from '@temporalio/common';
import {
  outcomeUnknown,
  type LocalActivities,
  type RenderResult,
  type SendActivities,
  type SendReport,
} from '../contracts/activities.ts';
import { stuckAfterMs, type DeliverInput, type DeliverResult } from '../contracts/workflows.ts';
import { toSnapshot } from './snapshot.ts';

// Local activities cost no round trip to the server: six state transitions for a delivery instead of fifteen (ADR 0001).
const { render, report } = proxyLocalActivities<LocalActivities>({
  startToCloseTimeout: '15 seconds',
  retry: { initialInterval: '200 milliseconds', maximumInterval: '10 seconds' },
});

/** Delivers one message and tells what became of it. Ends Failed when the message could not be delivered. */
export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  const ending = await renderAndSend(input).catch(giveUp);
  // However the run came to its end, it is told: a recall that comes now is too late to change it.
  await CancellationScope.nonCancellable(() =>
    report(toSnapshot(input, ending, new Date().toISOString())),
  );
  const result = toResult(ending);
  if (ending.status === 'sent' || ending.status === 'recalled') return result;
  // Failed runs are the operators' list of what was not delivered.
  throw ApplicationFailure.create({
    message: ending.reason?.detail ?? ending.status,
    type: ending.reason?.code ?? ending.status,
    nonRetryable: true,
    details: [result],
  });
}

async function renderAndSend(input: DeliverInput): Promise<Ending> {
  const { message } = input;
  if (input.isRecalled === true) return { status: 'recalled', attempts: 0 };
  const lifeMs = Date.parse(message.expiresAt) - Date.now();
  if (lifeMs <= 0) return expired('it waited in the queue until its life was over');
  const rendered = await render({ message });
  if (!rendered.ok) return { status: 'failed', attempts: 0, reason: rendered.reason };
  const { templateVersion, content } = rendered;
  try {
    const sent = await untilStuck(message.kind, sendWithin(lifeMs, input, rendered));
    return { status: 'sent', templateVersion, ...sent, ...(content !== undefined && { content }) };
  } catch (error) {
    return { templateVersion, ...giveUp(error) };
  }
}

type Rendered = Extract<RenderResult, { ok: true }>;
type Ending = DeliverResult & Partial<SendReport> & { readonly content?: string };

/** The server retries send, spaced by the provider's word, for as long as the message is worth it. */
function sendWithin(lifeMs: number, input: DeliverInput, rendered: Rendered): Promise<SendReport> {
  const { send } = proxyActivities<SendActivities>({
    taskQueue: input.sendQueue,
    startToCloseTimeout: rendered.attemptTimeoutMs,
    // send begins no attempt after the message's life; the margin lets the last one that began conclude.
    scheduleToCloseTimeout: lifeMs + rendered.attemptTimeoutMs,
    retry: { initialInterval: '1 second', maximumInterval: '5 minutes' },
    summary: `${input.message.connector} through ${input.message.accountId}`,
  });
  return send({
    message: input.message,
    templateVersion: rendered.templateVersion,
    redrive: input.redrive,
    leg: 0,
  });
}

const stateAttribute = defineSearchAttributeKey('McState', SearchAttributeType.KEYWORD);

/** Waits for the send; once it takes too long the run is marked, so that operators find it by a list filter. */
async function untilStuck(
  kind: keyof typeof stuckAfterMs,
  sending: Promise<SendReport>,
): Promise<SendReport> {
  const timer = new CancellationScope();
  const late = timer
    .run(() => sleep(stuckAfterMs[kind], { summary: 'marks the run as stuck' }))
    .then(
      () => upsertSearchAttributes([{ key: stateAttribute, value: 'stuck' }]),
      () => undefined,
    );
  try {
    return await sending;
  } finally {
    timer.cancel();
    await late;
  }
}

const expired = (detail: string): Ending => ({
  status: 'expired',
  attempts: 0,
  reason: { code: 'expired', detail },
});

/** Why nothing was sent, in our words. */
function giveUp(error: unknown): Ending {
  // A defect of ours fails the workflow task, which waits for a better deploy; it is no message's end.
  if (!(error instanceof TemporalFailure)) throw error;
  if (isCancellation(error)) return { status: 'recalled', attempts: 0 };
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const failure = applicationFailureIn(cause);
  const said = failure?.details?.[0] as SendReport | undefined;
  const tried = {
    attempts: said?.attempts ?? 0,
    ...(said?.attempt !== undefined && { attempt: said.attempt }),
  };
  // The last attempt began within the message's life and was never heard of again: it may have been sent.
  if (cause instanceof TimeoutFailure && cause.timeoutType === TimeoutType.START_TO_CLOSE) {
    const detail = 'the last attempt did not conclude';
    return { status: 'unknown', ...tried, reason: { code: outcomeUnknown, detail } };
  }
  if (failure === undefined) return { ...expired('its life ended before its turn came'), ...tried };
  const reason = said?.reason ?? { code: failure.type ?? 'failed', detail: failure.message };
  if (failure.type === outcomeUnknown) return { status: 'unknown', ...tried, reason };
  const isLate =
    failure.type === 'expired' ||
    (error instanceof ActivityFailure && error.retryState === RetryState.TIMEOUT);
  return { status: isLate ? 'expired' : 'failed', ...tried, reason };
}

function applicationFailureIn(error: unknown): ApplicationFailure | undefined {
  if (error instanceof ApplicationFailure) return error;
  return error instanceof Error && error.cause !== undefined
    ? applicationFailureIn(error.cause)
    : undefined;
}

function toResult(ending: Ending): DeliverResult {
  const { status, attempts, templateVersion, providerId, reason } = ending;
  return {
    status,
    attempts,
    ...(templateVersion !== undefined && { templateVersion }),
    ...(providerId !== undefined && { providerId }),
    ...(reason !== undefined && { reason }),
  };
}
