/** Columns, aggregates, date_trunc and constants of the parse tree. */
import { findColumn, metadataColumn, type Column, type ColumnUse } from './columns.ts';
import type { ReadOptions } from './read-select.ts';
import {
  sqlFault,
  termKey,
  termsOf,
  truncUnits,
  type AggregateName,
  type Condition,
  type Key,
  type Term,
  type TruncUnit,
  type Value,
} from './select.ts';
import type { Node, Tree } from './tree.ts';

export type TermReader = ReturnType<typeof createTermReader>;
export interface Place {
  readonly terms: TermReader;
  readonly tree: Tree;
}

const units = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;
const mostInteger = 2 ** 31 - 1;

/** What is done with a column: = <> IN IS NULL; LIKE; < <= > >= BETWEEN; GROUP BY and aggregates; ORDER BY. */
export type ColumnDone = 'matched' | 'liked' | 'compared' | 'counted' | 'ordered';
const may = {
  any: ['matched', 'liked', 'compared', 'counted', 'ordered'],
  unranged: ['matched', 'liked', 'counted', 'ordered'],
  match: ['matched'],
  show: [],
} as const satisfies Record<ColumnUse, readonly ColumnDone[]>;
const refusals = {
  any: '',
  unranged: 'cannot be compared by less and more',
  match: 'can only be compared by = <> IN, and shown',
  show: 'can only be shown',
} as const satisfies Record<ColumnUse, string>;

/** Makes the readers for one text. */
export function createTermReader(tree: Tree, options: ReadOptions) {
  const column = (node: Node): Column => {
    const at = tree.at(node);
    const name = tree.columnName(node);
    if (name === undefined) throw sqlFault('a column is named by its name alone', at);
    const found = findColumn(name);
    if (found !== undefined) return found;
    throw sqlFault(
      name.toLowerCase() === 'metadata'
        ? "metadata is read by key: metadata->>'orderId'"
        : `there is no column "${name}"`,
      at,
    );
  };
  const isStar = (node: Node) =>
    tree
      .list((node['ColumnRef'] as { fields?: unknown } | undefined)?.fields)
      .some((field) => 'A_Star' in field);

  const term = (node: Node): Term => {
    const [kind, body] = tree.node(node);
    const at = tree.at(node);
    if (isStar(node)) throw sqlFault('* stands alone in SELECT, or within COUNT', at);
    if (kind === 'ColumnRef') return { kind: 'column', column: column(node) };
    if (kind === 'A_Expr') return { kind: 'column', column: metadata(node, body) };
    if (kind === 'FuncCall') return call(node, body);
    if (kind === 'SubLink') throw sqlFault('subqueries are not supported', at);
    throw sqlFault('a column or an aggregate must stand here', at);
  };

  const metadata = (node: Node, body: Node): Column => {
    const at = tree.at(node);
    const operator = tree.string(tree.list(body['name'])[0]);
    const left = body['lexpr'] as Node | undefined;
    const key = constantText(body['rexpr'] as Node | undefined);
    if (
      operator !== '->>' ||
      left === undefined ||
      tree.columnName(left) !== 'metadata' ||
      key === undefined
    )
      throw sqlFault(`"${operator ?? 'this'}" is not supported here`, at);
    const found = metadataColumn(key);
    if (found === undefined) throw sqlFault('that is no key of metadata', at);
    return found;
  };

  const call = (node: Node, body: Node): Term => {
    const at = tree.at(node);
    tree.only(body, 'this call', [
      'funcname',
      'args',
      'agg_star',
      'agg_distinct',
      'funcformat',
      'location',
    ]);
    const name = tree
      .list(body['funcname'])
      .map((part) => tree.string(part))
      .join('.');
    const args = tree.list(body['args']);
    if (name === 'date_trunc') return trunc(args, at);
    if (body['agg_star'] === true && name === 'count') return { kind: 'aggregate', name: 'count' };
    if (!['count', 'min', 'max', 'avg', 'sum'].includes(name))
      throw sqlFault(
        `there is no function ${name}; there are COUNT, MIN, MAX, AVG, SUM, date_trunc and now`,
        at,
      );
    const [first, second] = args;
    if (first === undefined || second !== undefined) throw sqlFault(`${name} takes one column`, at);
    const inner = term(first);
    if (inner.kind !== 'column') throw sqlFault(`${name} takes a column`, at);
    mayBe(inner, 'counted', at);
    const isDistinct = body['agg_distinct'] === true;
    if (name === 'count')
      return {
        kind: 'aggregate',
        name: isDistinct ? 'count distinct' : 'count',
        column: inner.column,
      };
    if (isDistinct) throw sqlFault(`${name} takes no DISTINCT`, at);
    const { type } = inner.column;
    if (type === 'text' || (type === 'time' && (name === 'avg' || name === 'sum')))
      throw sqlFault(`${name} cannot be asked of ${inner.column.name}, which is a ${type}`, at);
    return { kind: 'aggregate', name: name as AggregateName, column: inner.column };
  };

  const trunc = (args: readonly Node[], at: number | undefined): Term => {
    const [unitNode, of, third] = args;
    const unit = constantText(unitNode)?.toLowerCase() as TruncUnit | undefined;
    if (unit === undefined || !truncUnits.includes(unit) || of === undefined || third !== undefined)
      throw sqlFault(
        `date_trunc takes one of '${truncUnits.join("', '")}' and a column of time`,
        at,
      );
    const inner = term(of);
    if (inner.kind !== 'column' || inner.column.type !== 'time' || inner.column.use !== 'any')
      throw sqlFault('date_trunc takes acceptedAt, updatedAt or nextAttemptAt', at);
    return { kind: 'trunc', unit, column: inner.column };
  };

  const constantText = (node: Node | undefined): string | undefined => {
    const { sval } = (node?.['A_Const'] ?? {}) as { sval?: { sval?: string } };
    return sval === undefined ? undefined : (sval.sval ?? '');
  };

  const constantNumber = (node: Node): number | undefined => {
    const { fval } = (node['A_Const'] ?? {}) as { fval?: { fval?: string } };
    return tree.integer(node) ?? (fval === undefined ? undefined : Number(fval.fval));
  };

  /** `now()`, or `now() - interval '1 hour'`: epoch milliseconds. */
  const moment = (node: Node): number | undefined => {
    const called = node['FuncCall'] as Node | undefined;
    if (
      called !== undefined &&
      tree.list(called['args']).length === 0 &&
      tree.string(tree.list(called['funcname'])[0]) === 'now'
    )
      return options.nowMs;
    const expression = node['A_Expr'] as Node | undefined;
    if (expression === undefined || expression['kind'] !== 'AEXPR_OP') return undefined;
    const sign = { '-': -1, '+': 1 }[tree.string(tree.list(expression['name'])[0]) ?? ''];
    const base =
      expression['lexpr'] === undefined ? undefined : moment(expression['lexpr'] as Node);
    if (sign === undefined || base === undefined) return undefined;
    const cast = (expression['rexpr'] as Node)['TypeCast'] as Node | undefined;
    const text = constantText(cast?.['arg'] as Node | undefined) ?? '';
    const isInterval = tree
      .list((cast?.['typeName'] as Node | undefined)?.['names'])
      .some((name) => tree.string(name) === 'interval');
    const [, count, unit] = /^(\d{1,6}) (second|minute|hour|day)s?$/.exec(text) ?? [];
    if (!isInterval || count === undefined)
      throw sqlFault("an interval is a whole number and a unit: interval '6 hours'", tree.at(node));
    return base + sign * Number(count) * units[unit as keyof typeof units];
  };

  /** The value that a term is compared with. Errors: it is of another type, or no constant. */
  const value = (of: Term, node: Node): Value => {
    const at = tree.at(node);
    const { type, name } = of.kind === 'aggregate' ? typeOf(of) : of.column;
    const text = constantText(node);
    if ((node['A_Const'] as { isnull?: boolean } | undefined)?.isnull === true)
      throw sqlFault('nothing equals NULL; write IS NULL', at);
    if (type === 'number') {
      const number = constantNumber(node);
      if (number === undefined) throw sqlFault(`${name} is a number, and is compared with one`, at);
      if (Math.abs(number) > mostInteger) throw sqlFault(`${number} is beyond any ${name}`, at);
      return number;
    }
    if (type === 'time') {
      const ms = moment(node) ?? (text === undefined ? undefined : timeMs(text));
      if (ms === undefined || Number.isNaN(ms) || Math.abs(ms) > 8.64e14)
        throw sqlFault(
          `${name} is a time, and is compared with one: '2026-11-21T08:00:00Z', or now() - interval '1 hour'`,
          at,
        );
      return new Date(ms).toISOString();
    }
    if (text === undefined)
      throw sqlFault(`${name} is text, and is compared with text in single quotes`, at);
    if (of.kind !== 'column' || of.column.field !== 'recipientHash') return text;
    const hashed = options.hashAddress(text);
    if (typeof hashed === 'string') throw sqlFault(`recipient ${hashed}`, at);
    return hashed.hash;
  };

  /** Errors: the column cannot be used so. */
  const mayBe = ({ column: { name, use } }: Key, how: ColumnDone, at: number | undefined): void => {
    if (may[use].some((allowed) => allowed === how)) return;
    throw sqlFault(`${name} ${refusals[use]}`, at);
  };

  /** Errors: HAVING names what is neither a key of the groups nor an aggregate. */
  const checkHaving = (condition: Condition<Term>, known: ReadonlySet<string>): void => {
    const unknown = termsOf(condition).find(
      (one) => one.kind !== 'aggregate' && !known.has(termKey(one)),
    );
    if (unknown !== undefined)
      throw sqlFault(`HAVING: ${termKey(unknown)} must be in GROUP BY, or within an aggregate`);
  };

  return { term, value, isStar, mayBe, checkHaving, constantText };
}

function typeOf(aggregate: Extract<Term, { kind: 'aggregate' }>) {
  const isTime =
    aggregate.column?.type === 'time' && (aggregate.name === 'min' || aggregate.name === 'max');
  return { type: isTime ? ('time' as const) : ('number' as const), name: termKey(aggregate) };
}

/** A day, or a day and a time; UTC unless it says a zone. NaN: no time. */
function timeMs(text: string): number {
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text))
    return Number.NaN;
  const iso = text.replace(' ', 'T');
  return Date.parse(iso.length > 10 && !/(Z|[+-]\d\d:\d\d)$/.test(iso) ? `${iso}Z` : iso);
}
