/** Load: POSTs messages, each to a number of its own, over kept-alive connections, and counts what was accepted. */
import { Pool } from 'undici';
import { createLatencies, type Percentiles, type Point } from '../measure/latencies.ts';
import { serveLoad } from './serve.ts';

export interface PostOptions {
  readonly origin: string;
  readonly key: string;
  readonly connections: number;
  /** Messages to accept after the warm-up. */
  readonly messages: number;
  readonly warmUp: number;
  /** Messages in a request; 0: `POST /v1/messages`, one each. */
  readonly perRequest: number;
  readonly priority?: 'normal' | 'bulk';
  /** Two digits after the leading 1 of the numbers. */
  readonly phones: string;
  /** Messages a second; absent: as fast as they are answered. */
  readonly perSecond?: number;
  /** No request is begun after so many milliseconds. */
  readonly withinMs?: number;
}

export interface PostResult {
  readonly accepted: number;
  /** Of the warm-up. */
  readonly acceptedBefore: number;
  readonly refused: number;
  /** What the first refusal said. */
  readonly refusal?: string;
  readonly seconds: number;
  readonly latency: Percentiles;
  readonly points: readonly Point[];
}

serveLoad<{ options: PostOptions; result: PostResult }>(async (options, begin) => {
  const { origin, key, connections, perRequest, warmUp, messages, perSecond, withinMs } = options;
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const size = Math.max(1, perRequest);
  const priority = options.priority === undefined ? '' : `,"priority":"${options.priority}"`;
  const one = (n: number) =>
    `{"to":{"phone":"1${options.phones}${String(n).padStart(8, '0')}"},"template":"order-shipped","variables":{"orderId":"SO-${n}"}${priority}}`;
  const bodyOf = (first: number, count: number) =>
    perRequest === 0
      ? one(first)
      : `{"messages":[${Array.from({ length: count }, (_, place) => one(first + place)).join()}]}`;
  let refusal: string | undefined;
  let refused = 0;

  /** Gives how many were accepted. */
  const post = async (first: number, count: number): Promise<number> => {
    const { statusCode, body } = await pool.request({
      path: perRequest === 0 ? '/v1/messages' : '/v1/messages/batch',
      method: 'POST',
      headers,
      body: bodyOf(first, count),
    });
    const text = await body.text();
    const accepted =
      statusCode !== 202
        ? 0
        : perRequest === 0
          ? 1
          : (JSON.parse(text) as { accepted: number }).accepted;
    refused += count - accepted;
    if (accepted < count) refusal ??= `${statusCode} ${text.slice(0, 300)}`;
    return accepted;
  };

  const postAll = async (from: number, to: number) => {
    const latencies = createLatencies();
    const startedAt = performance.now();
    let next = from;
    let accepted = 0;
    const loop = async () => {
      while (next < to) {
        const first = next;
        const count = Math.min(size, to - first);
        next += count;
        const due = perSecond === undefined ? 0 : ((first - from) * 1000) / perSecond;
        const earlyMs = startedAt + due - performance.now();
        if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
        const postedAt = performance.now();
        if (withinMs !== undefined && postedAt - startedAt > withinMs) return;
        const taken = await post(first, count);
        const now = performance.now();
        accepted += taken;
        latencies.add(now - startedAt, now - postedAt, taken);
      }
    };
    await Promise.all(Array.from({ length: connections }, loop));
    const seconds = (performance.now() - startedAt) / 1000;
    return { accepted, seconds, latency: latencies.all, points: latencies.points };
  };

  const warm = await postAll(0, warmUp);
  await begin();
  refused = 0;
  const measured = await postAll(warmUp, warmUp + messages);
  await pool.close();
  return {
    ...measured,
    acceptedBefore: warm.accepted,
    refused,
    ...(refusal !== undefined && { refusal }),
  };
});
