/**
 * Conditions → Elasticsearch queries. SQL knows three answers: a comparison with nothing is neither true nor false. So each
 * condition becomes two queries, the documents for which it is true and those for which it is false, and NOT swaps them.
 */
import type { estypes } from '@elastic/elasticsearch';
import type { Condition, Key, LikePattern, Select } from './select.ts';

type Query = estypes.QueryDslQueryContainer;
type Where = NonNullable<Select['where']>;
type Leaf = Exclude<Where, { readonly kind: 'and' | 'or' | 'not' }>;

const rangeOps = { '<': 'lt', '<=': 'lte', '>': 'gt', '>=': 'gte' } as const;

/** The documents for which a condition is true, or `wanted` is false, for which it is false. */
export function toQuery(condition: Where, wanted = true): Query {
  switch (condition.kind) {
    case 'not':
      return toQuery(condition.of, !wanted);
    case 'and':
    case 'or': {
      const parts = condition.of.map((part) => toQuery(part, wanted));
      return (condition.kind === 'and') === wanted
        ? { bool: { filter: parts } }
        : { bool: { should: parts, minimum_should_match: 1 } };
    }
    case 'null':
      return wanted ? { bool: { must_not: [exists(condition.term)] } } : exists(condition.term);
    case 'compare':
    case 'in':
    case 'like': {
      const isUnequal = condition.kind === 'compare' && condition.op === '<>';
      const isMet = matches(condition);
      return wanted === isUnequal
        ? { bool: { filter: [exists(condition.term)], must_not: [isMet] } }
        : isMet;
    }
  }
}

const exists = (key: Key): Query => ({ exists: { field: key.column.field } });

/** Where a comparison holds; for `<>`, where its opposite does. */
function matches(leaf: Exclude<Leaf, { readonly kind: 'null' }>): Query {
  const { field } = leaf.term.column;
  switch (leaf.kind) {
    case 'in':
      return { terms: { [field]: [...leaf.values] } };
    case 'like':
      return like(field, leaf.pattern);
    case 'compare': {
      const { op, value } = leaf;
      return op === '=' || op === '<>'
        ? { term: { [field]: { value } } }
        : { range: { [field]: { [rangeOps[op]]: value } } };
    }
  }
}

/** The text of a pattern without wildcards. */
const literal = (pattern: LikePattern) =>
  pattern.map((part) => (typeof part === 'string' ? part : '')).join('');

function like(field: string, pattern: LikePattern): Query {
  const isWild = (part: LikePattern[number] | undefined) => typeof part === 'object';
  if (!pattern.some(isWild)) return { term: { [field]: { value: literal(pattern) } } };
  const last = pattern.at(-1);
  const before = pattern.slice(0, -1);
  if (typeof last === 'object' && last.wild === 'any' && !before.some(isWild))
    return before.length === 0
      ? { exists: { field } }
      : { prefix: { [field]: { value: literal(before) } } };
  const value = pattern
    .map((part) =>
      typeof part === 'string'
        ? part.replaceAll(/[\\*?]/g, '\\$&')
        : part.wild === 'any'
          ? '*'
          : '?',
    )
    .join('');
  return { wildcard: { [field]: { value } } };
}

/** What a condition says of values in memory: true, false, or undefined where something is missing. */
export function holds<Of extends Key | Select['items'][number]['term']>(
  condition: Condition<Of>,
  valueOf: (term: Of) => string | number | null,
): boolean | undefined {
  switch (condition.kind) {
    case 'not': {
      const inner = holds(condition.of, valueOf);
      return inner === undefined ? undefined : !inner;
    }
    case 'and':
    case 'or': {
      const settles = condition.kind === 'or';
      const parts = condition.of.map((part) => holds(part, valueOf));
      if (parts.includes(settles)) return settles;
      return parts.includes(undefined) ? undefined : !settles;
    }
    case 'null':
      return valueOf(condition.term) === null;
    case 'like':
      throw new Error('LIKE is asked of the index alone');
    case 'compare':
    case 'in': {
      const value = valueOf(condition.term);
      if (value === null) return undefined;
      if (condition.kind === 'in') return condition.values.some((one) => compare(value, one) === 0);
      const order = compare(value, condition.value);
      return {
        '=': order === 0,
        '<>': order !== 0,
        '<': order < 0,
        '<=': order <= 0,
        '>': order > 0,
        '>=': order >= 0,
      }[condition.op];
    }
  }
}

/** Numbers by size, texts by their bytes, as the index does; ISO times of one form are such texts. */
export function compare(a: string | number, b: string | number): number {
  return typeof a === 'number' && typeof b === 'number'
    ? a - b
    : Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)));
}
