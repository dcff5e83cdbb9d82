/** Waiting for a provider's receipt, where another channel is to be tried without it. */
import { condition } from '@temporalio/workflow';
import { withoutAttempt, type Ending } from './ending.ts';
import type { DeliverRun } from './run.ts';

/** The end of a way that has sent: delivered, failed after all, or sent with no word, which leads on. */
export async function awaitReceipt(run: DeliverRun, sent: Ending): Promise<Ending> {
  const waitMs = run.receiptWaitMs() ?? 0;
  const detail = `sent through ${run.route.connector}, no receipt yet`;
  await run.endRound(
    { ...sent, status: 'sending', reason: { code: 'awaiting-receipt', detail } },
    `another channel follows in ${waitMs / 1000} s`,
  );
  await condition(() => run.news !== undefined, waitMs);
  const { news } = run;
  const rest = withoutAttempt(sent);
  if (news === undefined)
    return {
      ...rest,
      reason: { code: 'no-receipt', detail: `no receipt within ${waitMs / 1000} s` },
      leadsTo: 'other-connector',
    };
  if (news.status !== 'failed') return { ...rest, status: news.status };
  return {
    ...rest,
    status: 'failed',
    reason: {
      code: news.code ?? 'undelivered',
      ...(news.detail !== undefined && { detail: news.detail }),
    },
    leadsTo: 'other-connector',
  };
}
