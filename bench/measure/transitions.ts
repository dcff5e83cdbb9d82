/** State transitions as the Temporal server counts them: it adds a run's when the run closes. */

export interface Transitions {
  readonly runs: number;
  readonly transitions: number;
}

/** Sums of a Prometheus histogram over all label sets, from the text of /metrics. */
export function sumsOf(metrics: string, histogram: string): { count: number; sum: number } {
  const totals = { count: 0, sum: 0 };
  const lines = metrics.matchAll(
    new RegExp(`^${histogram}_(count|sum)(?:\\{[^}]*\\})? (\\S+)$`, 'gm'),
  );
  for (const [, part, value] of lines) totals[part as 'count' | 'sum'] += Number(value);
  return totals;
}

/** Runs that have closed since the server started, and their transitions. Errors: it does not answer. */
export async function closedSoFar(metricsUrl: string): Promise<Transitions> {
  const text = await (await fetch(metricsUrl)).text();
  const { count, sum } = sumsOf(text, 'state_transition_count');
  return { runs: count, transitions: sum };
}

/** Transitions of a run that closed in between. NaN: none did. */
export const perRun = (before: Transitions, after: Transitions): number =>
  (after.transitions - before.transitions) / (after.runs - before.runs);
