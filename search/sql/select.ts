/** A query as far as we understand it: what SQL text comes to, and what becomes an Elasticsearch query. */
import { problem } from '../../contracts/problems.ts';
import type { Column } from './columns.ts';

export const truncUnits = ['minute', 'hour', 'day'] as const;
export type TruncUnit = (typeof truncUnits)[number];
export type AggregateName = 'count' | 'count distinct' | 'min' | 'max' | 'avg' | 'sum';

export type Aggregate =
  | { readonly kind: 'aggregate'; readonly name: 'count'; readonly column?: Column }
  | { readonly kind: 'aggregate'; readonly name: AggregateName; readonly column: Column };
/** What has a value in each row: a column, or its time cut to a unit. */
export type Key =
  | { readonly kind: 'column'; readonly column: Column }
  | { readonly kind: 'trunc'; readonly unit: TruncUnit; readonly column: Column };
export type Term = Key | Aggregate;

export type Comparison = '=' | '<>' | '<' | '<=' | '>' | '>=';
/** Text, a number, or an ISO time. */
export type Value = string | number;

export type Condition<Of extends Term> =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Condition<Of>[] }
  | { readonly kind: 'not'; readonly of: Condition<Of> }
  | { readonly kind: 'compare'; readonly term: Of; readonly op: Comparison; readonly value: Value }
  | { readonly kind: 'in'; readonly term: Of; readonly values: readonly Value[] }
  | { readonly kind: 'like'; readonly term: Of; readonly pattern: LikePattern }
  | { readonly kind: 'null'; readonly term: Of };

/** Literal text, `%` as any and `_` as one. */
export type LikePattern = readonly (string | { readonly wild: 'any' | 'one' })[];

export interface Select {
  readonly items: readonly { readonly name: string; readonly term: Term }[];
  readonly where?: Condition<Extract<Key, { kind: 'column' }>>;
  readonly isGrouped: boolean;
  readonly groupBy: readonly Key[];
  readonly having?: Condition<Term>;
  readonly orderBy: readonly {
    readonly term: Term;
    readonly direction: 'asc' | 'desc';
    readonly nulls: 'first' | 'last';
  }[];
  readonly limit: number;
  readonly offset: number;
}

/** One text for what has the same value. */
export function termKey(term: Term): string {
  if (term.kind === 'column') return term.column.name;
  if (term.kind === 'trunc') return `date_trunc('${term.unit}', ${term.column.name})`;
  return `${term.name}(${term.column?.name ?? '*'})`;
}

/** All terms of a condition. */
export function termsOf<Of extends Term>(condition: Condition<Of>): readonly Of[] {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return condition.of.flatMap(termsOf);
    case 'not':
      return termsOf(condition.of);
    case 'compare':
    case 'in':
    case 'like':
    case 'null':
      return [condition.term];
  }
}

/** The problem of a query: what is wrong, and at which character of the text (from 1). */
export function sqlFault(detail: string, at?: number) {
  const where = at === undefined ? detail : `at character ${at}: ${detail}`;
  return problem('validation-failed', {
    detail: `/query ${where}`,
    errors: [{ pointer: '/query', detail: where }],
  });
}
