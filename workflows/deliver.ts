/**
 * Stages 3 to 6 of a message: render, send, report. One run is one message; its id is the message's id. The ways of a
 * message (channel and account) are tried in order until one has it.
 */
import {
  ApplicationFailure,
  isCancellation,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { LocalActivities } from '../contracts/activities.ts';
import { sequences } from '../contracts/sequences.ts';
import type { DeliverInput, DeliverResult, DeliverRoute } from '../contracts/workflows.ts';
import { arrivedBy, expired, giveUp, toResult, withoutAttempt, type Ending } from './ending.ts';
import { hold } from './hold.ts';
import { awaitReceipt } from './receipt.ts';
import { DeliverRun, lookAgain, receipt } from './run.ts';
import { pausedAfter, pinnedOf, sendOn } from './send.ts';

// Local activities cost no round trip to the server: six state transitions for a delivery instead of fifteen (ADR 0001).
const { render } = proxyLocalActivities<Pick<LocalActivities, 'render'>>({
  startToCloseTimeout: '15 seconds',
  retry: { initialInterval: '200 milliseconds', maximumInterval: '10 seconds' },
});

/** Delivers one message and tells what became of it. Ends Failed when the message could not be delivered. */
export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  const run = new DeliverRun(input);
  setHandler(lookAgain, () => run.look());
  setHandler(receipt, (news) => run.hear(news));
  const ending = await tryWays(run).catch((error) => giveUp(error, run));
  await run.tell(ending, sequences.end);
  setCurrentDetails('');
  const result = toResult(ending, run.route, run.calls);
  if (['sent', 'delivered', 'read', 'recalled', 'suppressed'].includes(ending.status))
    return result;
  // Failed runs are the operators' list of what was not delivered.
  throw ApplicationFailure.create({
    message: ending.reason?.detail ?? ending.status,
    type: ending.reason?.code ?? ending.status,
    nonRetryable: true,
    details: [result],
  });
}

/** Tries the ways in order. What a way has sent is not undone by those after it. */
async function tryWays(run: DeliverRun): Promise<Ending> {
  if (run.input.isRecalled === true) return { status: 'recalled', attempts: 0 };
  // A run that starts by itself starts at its time; one of an ordering key waits for it here, and the key with it.
  const aheadMs = Date.parse(run.input.message.sendAt ?? '') - Date.now();
  if (run.input.message.orderingKey !== undefined && aheadMs > 0) {
    run.mark('scheduled');
    await sleep(aheadMs, { summary: 'until sendAt' });
    run.mark(undefined);
  }
  if (run.input.message.sendAt !== undefined)
    await run.tell({ status: 'sending', attempts: 0 }, sequences.roundStart(0));
  const ends = new Map<string, { readonly ending: Ending; readonly route: DeliverRoute }>();
  for (;;) {
    const { route } = run;
    const ending = run.counted(await tryWay(run).catch((error) => giveUp(error, run)));
    ends.set(route.accountId, { ending, route });
    const { arrival } = run;
    const next = arrival === undefined ? run.wayAfter(ending) : undefined;
    if (next === undefined) {
      // A receipt that stayed away led on; whatever came of that, what was sent stays sent, or arrived after all.
      const best =
        ends.get(arrival?.accountId ?? '') ??
        [...ends.values()].findLast(({ ending: { status } }) => status === 'sent');
      if (best === undefined || best.ending === ending) return arrivedBy(arrival, ending);
      await run.endRound({ ...ending, status: 'sending' }, `sent by ${best.route.connector}`);
      run.goOn(best.route);
      return arrivedBy(arrival, withoutAttempt(best.ending));
    }
    await run.endRound({ ...ending, status: 'sending' }, `next: ${next.connector}`);
    run.goOn(next);
  }
}

/** One way: render, send, and wait for the receipt where another channel is to follow. */
async function tryWay(run: DeliverRun): Promise<Ending> {
  for (;;) {
    if (run.lifeMs <= 0) return expired('it waited in the queue until its life was over');
    const rendered = await render({ message: run.message() });
    switch (rendered.next) {
      case 'end':
        return { status: rendered.status, attempts: 0, reason: rendered.reason };
      case 'skip': {
        const { status, reason } = rendered;
        return { status, attempts: 0, reason, leadsTo: 'other-connector' };
      }
      case 'hold':
        await hold(run, rendered);
        break;
      case 'send': {
        await run.released();
        const ending = await sendOn(run, rendered).catch((error: unknown) => {
          const back = pausedAfter(error);
          if (back !== undefined) run.counted({ status: 'sending', ...back });
          // A cancelled send keeps nothing that could be told of.
          return back === undefined ? { ...pinnedOf(rendered), ...giveUp(error, run) } : undefined;
        });
        if (ending === undefined) break;
        if (ending.status !== 'sent' || run.receiptWaitMs() === undefined) return ending;
        return awaitReceipt(run, ending).catch((error: unknown) => {
          // Recalled while its receipt was waited for: it is sent, and only the provider can take it back.
          if (!isCancellation(error)) throw error;
          return withoutAttempt(ending);
        });
      }
    }
  }
}
