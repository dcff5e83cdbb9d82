/** Lengths of rendered contents against what a provider takes, for a connector's `lint`. */
import type { ConnectorLint, Finding, LintSamples } from '../../contracts/template-lint.ts';

export interface Measure<Content> {
  /** What is counted: `payload bytes`. */
  readonly what: string;
  /** Where in the content: `/text`; empty for all of it. */
  readonly pointer: string;
  readonly of: (content: Content) => number;
  /** The most that the provider takes; absent where it only matters to people. */
  readonly limit?: number;
}

/** As long as a delivery key gets: it counts in a payload that carries it. */
export const longestDeliveryKey = 'k'.repeat(60);

/** Measures every case. What is too long with the shortest values is an error, with the longest a warning. */
export function lintSizes<Content>(
  { sample, shortest, longest }: LintSamples<Content>,
  measures: readonly Measure<Content>[],
): ConnectorLint {
  const findings: Finding[] = [];
  const sizes = measures.map(({ what, pointer, of, limit }) => {
    const least = Math.min(...shortest.map(of));
    const most = Math.max(...longest.map(of));
    if (limit !== undefined && most > limit) {
      const isAlways = least > limit;
      const [count, when] = isAlways ? [least, 'shortest'] : [most, 'longest'];
      findings.push({
        level: isAlways ? 'error' : 'warning',
        pointer,
        code: 'too-long',
        detail: `comes to ${count} ${what} with the ${when} values; the provider takes ${limit}`,
      });
    }
    return { what, sample: of(sample), longest: most, ...(limit !== undefined && { limit }) };
  });
  return { findings, sizes };
}

/** Characters as people count them. */
export function characters(text: string): number {
  return Array.from(text).length;
}

/** The sizes of a push: what people see, and the payload, which the provider limits. */
export function lintPush<Content extends { readonly title: string; readonly body: string }>(
  samples: LintSamples<Content>,
  payloads: readonly Omit<Measure<Content>, 'pointer'>[],
): ConnectorLint {
  return lintSizes(samples, [
    { what: 'title characters', pointer: '/title', of: ({ title }) => characters(title) },
    { what: 'body characters', pointer: '/body', of: ({ body }) => characters(body) },
    ...payloads.map((payload) => ({ ...payload, pointer: '' })),
  ]);
}
