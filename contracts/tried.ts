/** What the attempts of one delivery came to, so that messages are found by it. Pure: the workflow sandbox reads this file. */
import type { Attempt } from './result.ts';

/** Every word once, in the order in which it came first. */
export interface Tried {
  readonly attemptOutcomes?: string[];
  readonly providerCodes?: string[];
}

/** Of a provider that answers something else each time, the first ones. */
const mostCodes = 10;

/** With another attempt. */
export function triedAfter(
  before: Tried,
  attempt: Pick<Attempt, 'outcome' | 'providerCode'> | undefined,
): Tried {
  if (attempt === undefined) return before;
  const { outcome, providerCode } = attempt;
  return triedTogether(before, {
    attemptOutcomes: [outcome],
    ...(providerCode !== undefined && { providerCodes: [providerCode] }),
  });
}

/** Both. */
export function triedTogether(first: Tried, second: Tried | undefined): Tried {
  if (second === undefined) return first;
  const outcomes = union(first.attemptOutcomes, second.attemptOutcomes);
  const codes = union(first.providerCodes, second.providerCodes).slice(0, mostCodes);
  return {
    ...(outcomes.length > 0 && { attemptOutcomes: outcomes }),
    ...(codes.length > 0 && { providerCodes: codes }),
  };
}

const union = (a: readonly string[] = [], b: readonly string[] = []) => [...new Set([...a, ...b])];
