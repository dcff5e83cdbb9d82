/**
 * SQL text → what we understand of it. The text is read by PostgreSQL's own parser (libpg-query, ADR 15); every part of
 * its tree that is not named here is refused, so nothing is ever left out in silence.
 */
import { loadModule, parseSync } from 'libpg-query';
import { columns } from './columns.ts';
import { createTermReader, type Place } from './read-term.ts';
import { readCondition } from './read-condition.ts';
import { sqlLimits } from './limits.ts';
import { sqlFault, termKey, type Key, type Select, type Term } from './select.ts';
import { createTree, type Node, type Tree } from './tree.ts';

await loadModule();

export interface ReadOptions {
  /** Keyed hash of an address; a text says what is wrong with the address. */
  readonly hashAddress: (address: string) => { readonly hash: string } | string;
  readonly nowMs: number;
}

const selectParts = [
  'targetList',
  'fromClause',
  'whereClause',
  'groupClause',
  'havingClause',
  'sortClause',
  'limitCount',
  'limitOffset',
  'limitOption',
  'op',
];
const refusedParts: Readonly<Record<string, string>> = {
  withClause: 'WITH is not supported',
  distinctClause: 'SELECT DISTINCT is not supported; use GROUP BY',
  larg: 'UNION, INTERSECT and EXCEPT are not supported',
  valuesLists: 'VALUES is not supported',
  intoClause: 'SELECT INTO is not supported: nothing can be written',
  windowClause: 'WINDOW is not supported',
  lockingClause: 'FOR UPDATE is not supported: nothing can be written',
};

/** Reads a query. Errors: validation-failed, saying what is not understood and at which character. */
export function readSelect(text: string, options: ReadOptions): Select {
  if (text.length > sqlLimits.characters)
    throw sqlFault(`has ${text.length} characters; a query may have ${sqlLimits.characters}`);
  // The parser would take it for the end of the text.
  const end = text.indexOf('\0');
  if (end >= 0) throw sqlFault('there may be no null character', end + 1);
  const tree = createTree(text);
  const select = onlySelect(text, tree);
  if (select['op'] !== 'SETOP_NONE') throw sqlFault(refusedParts['larg'] ?? '');
  for (const [part, why] of Object.entries(refusedParts)) if (part in select) throw sqlFault(why);
  tree.only(select, 'this query', selectParts);
  if (select['limitOption'] === 'LIMIT_OPTION_WITH_TIES')
    throw sqlFault('WITH TIES is not supported');
  readTable(tree, tree.list(select['fromClause']));
  const terms = createTermReader(tree, options);
  const items = readItems(tree, terms, tree.list(select['targetList']));
  const outputOf = createOutputs(tree, items);
  const groupBy = tree.list(select['groupClause']).map((node): Key => {
    const term = outputOf(node, 'GROUP BY') ?? terms.term(node);
    if (term.kind === 'aggregate')
      throw sqlFault('GROUP BY takes columns and date_trunc', tree.at(node));
    terms.mayBe(term, 'counted', tree.at(node));
    return term;
  });
  const named: Place = { terms, tree };
  const where =
    select['whereClause'] === undefined
      ? undefined
      : readCondition(named, select['whereClause'] as Node, 'where');
  const having =
    select['havingClause'] === undefined
      ? undefined
      : readCondition(named, select['havingClause'] as Node, 'having');
  const orderBy = tree.list(select['sortClause']).map((node) => {
    const [sort, body] = tree.node(node);
    if (sort !== 'SortBy') throw sqlFault('this ORDER BY is not supported', tree.at(node));
    tree.only(body, 'ORDER BY', ['node', 'sortby_dir', 'sortby_nulls', 'location']);
    if (body['sortby_dir'] === 'SORTBY_USING')
      throw sqlFault('USING is not supported', tree.at(node));
    const of = body['node'] as Node;
    const term = outputOf(of, 'ORDER BY') ?? terms.term(of);
    const direction = body['sortby_dir'] === 'SORTBY_DESC' ? ('desc' as const) : ('asc' as const);
    // As PostgreSQL has it: nothing counts as more than anything.
    const usual = direction === 'desc' ? 'first' : 'last';
    const nulls =
      body['sortby_nulls'] === 'SORTBY_NULLS_FIRST'
        ? 'first'
        : body['sortby_nulls'] === 'SORTBY_NULLS_LAST'
          ? 'last'
          : usual;
    return { term, direction, nulls, at: tree.at(of) } as const;
  });
  const isGrouped =
    groupBy.length > 0 ||
    having !== undefined ||
    [...items, ...orderBy].some(({ term }) => term.kind === 'aggregate');
  const aggregates = new Set(
    [...items, ...orderBy].flatMap(({ term }) =>
      term.kind === 'aggregate' ? [termKey(term)] : [],
    ),
  );
  bounded('GROUP BY', groupBy.length, sqlLimits.groupBy);
  bounded('ORDER BY', orderBy.length, sqlLimits.orderBy);
  bounded('SELECT', items.length, sqlLimits.selected);
  bounded('SELECT and ORDER BY with aggregates', aggregates.size, sqlLimits.aggregates);
  if (isGrouped) {
    const known = new Set(groupBy.map(termKey));
    for (const { term, at } of [...items, ...orderBy])
      if (term.kind !== 'aggregate' && !known.has(termKey(term)))
        throw sqlFault(`${termKey(term)} must be in GROUP BY, or within an aggregate`, at);
    if (having !== undefined) terms.checkHaving(having, known);
  } else
    for (const { term, at } of orderBy) {
      if (term.kind === 'trunc') throw sqlFault('ORDER BY date_trunc needs a GROUP BY', at);
      terms.mayBe(term as Key, 'ordered', at);
    }
  const limit = readCount(tree, select['limitCount'], 'LIMIT') ?? sqlLimits.rows;
  const offset = readCount(tree, select['limitOffset'], 'OFFSET') ?? 0;
  bounded('LIMIT', limit, sqlLimits.rows);
  bounded('OFFSET and LIMIT together', offset + limit, sqlLimits.reach);
  return {
    items: items.map(({ name, term }) => ({ name, term })),
    ...(where !== undefined && { where: where as NonNullable<Select['where']> }),
    isGrouped,
    groupBy,
    ...(having !== undefined && { having }),
    orderBy: orderBy.map(({ term, direction, nulls }) => ({ term, direction, nulls })),
    limit,
    offset,
  };
}

function bounded(what: string, count: number, most: number): void {
  if (count > most) throw sqlFault(`${what}: ${count} is more than ${most}`);
}

function onlySelect(text: string, tree: Tree): Record<string, unknown> {
  let statements: { stmt?: Node; stmt_location?: number }[];
  try {
    statements = (parseSync(text) as { stmts?: typeof statements }).stmts ?? [];
  } catch (error) {
    const said = error as { message?: string; sqlDetails?: { cursorPosition?: number } };
    const position = said.sqlDetails?.cursorPosition;
    throw sqlFault(
      said.message ?? 'cannot be read',
      position === undefined || position < 0 ? undefined : position + 1,
    );
  }
  const [first, second] = statements;
  if (first?.stmt === undefined) throw sqlFault('is empty; write SELECT … FROM messages');
  if (second !== undefined)
    throw sqlFault('is more than one statement', tree.character(second.stmt_location ?? 0));
  const [kind, body] = tree.node(first.stmt);
  if (kind !== 'SelectStmt')
    throw sqlFault(
      `only SELECT is understood, and nothing can be written; this is ${kind.replace(/Stmt$/, '')}`,
      1,
    );
  return body;
}

function readTable(tree: Tree, from: readonly Node[]): void {
  const [first, second] = from;
  if (first === undefined) throw sqlFault('FROM messages is missing');
  if (second !== undefined)
    throw sqlFault('only one table, messages, can be named', tree.at(second));
  const [kind, table] = tree.node(first);
  const at = tree.at(first);
  if (kind === 'JoinExpr') throw sqlFault('joins are not supported', at);
  if (kind === 'RangeSubselect') throw sqlFault('subqueries are not supported', at);
  if (kind !== 'RangeVar') throw sqlFault('FROM takes the table messages alone', at);
  tree.only(table, 'FROM', ['relname', 'inh', 'relpersistence', 'location']);
  if (table['relname'] !== 'messages' || table['inh'] !== true)
    throw sqlFault('the one table is messages', at);
}

interface Item {
  readonly name: string;
  readonly term: Term;
  readonly at: number | undefined;
}

function readItems(
  tree: Tree,
  terms: ReturnType<typeof createTermReader>,
  nodes: readonly Node[],
): Item[] {
  return nodes.flatMap((node): Item[] => {
    const [kind, target] = tree.node(node);
    if (kind !== 'ResTarget') throw sqlFault('this SELECT is not supported', tree.at(node));
    tree.only(target, 'SELECT', ['name', 'val', 'location']);
    const value = target['val'] as Node;
    const at = tree.at(node);
    if (terms.isStar(value))
      return columns.map((column) => ({ name: column.name, term: { kind: 'column', column }, at }));
    const term = terms.term(value);
    return [
      { name: typeof target['name'] === 'string' ? target['name'] : termKey(term), term, at },
    ];
  });
}

/** What `GROUP BY 1` means, or a name that SELECT gave; undefined: neither. */
function createOutputs(tree: Tree, items: readonly Item[]) {
  return (node: Node, clause: string): Term | undefined => {
    const position = tree.integer(node);
    if (position === undefined) {
      const name = tree.columnName(node);
      return name === undefined ? undefined : items.find((item) => item.name === name)?.term;
    }
    const item = items[position - 1];
    if (item !== undefined) return item.term;
    throw sqlFault(`${clause} ${position}: SELECT has ${items.length} columns`, tree.at(node));
  };
}

function readCount(tree: Tree, node: unknown, where: string): number | undefined {
  if (node === undefined) return undefined;
  const count = tree.integer(node as Node);
  if (count === undefined || count < 0)
    throw sqlFault(`${where} must be a whole number`, tree.at(node as Node));
  return count;
}
