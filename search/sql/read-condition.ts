/** WHERE and HAVING of the parse tree. */
import type { ColumnDone, Place } from './read-term.ts';
import { sqlLimits } from './limits.ts';
import {
  sqlFault,
  type Comparison,
  type Condition,
  type LikePattern,
  type Term,
} from './select.ts';
import type { Node } from './tree.ts';

const comparisons = ['=', '<>', '<', '<=', '>', '>='] as const satisfies readonly Comparison[];
const flipped = {
  '=': '=',
  '<>': '<>',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
} as const satisfies Record<Comparison, Comparison>;

/** Reads a condition. Errors: validation-failed. */
export function readCondition(
  { tree, terms }: Place,
  root: Node,
  clause: 'where' | 'having',
): Condition<Term> {
  let conditions = 0;
  const counted = (more: number, at: number | undefined) => {
    conditions += more;
    if (conditions > sqlLimits.conditions)
      throw sqlFault(`more than ${sqlLimits.conditions} conditions`, at);
  };
  const termOf = (node: Node, how: ColumnDone): Term => {
    const term = terms.term(node);
    const at = tree.at(node);
    if (clause === 'having') return term;
    if (term.kind !== 'column')
      throw sqlFault('WHERE compares columns; aggregates belong in HAVING', at);
    terms.mayBe(term, how, at);
    return term;
  };

  const read = (node: Node, depth: number): Condition<Term> => {
    const at = tree.at(node);
    if (depth > sqlLimits.depth)
      throw sqlFault(`AND, OR and NOT are nested more than ${sqlLimits.depth} deep`, at);
    const [kind, body] = tree.node(node);
    switch (kind) {
      case 'BoolExpr': {
        tree.only(body, 'this condition', ['boolop', 'args', 'location']);
        const parts = tree.list(body['args']).map((part) => read(part, depth + 1));
        const [first] = parts;
        if (body['boolop'] === 'NOT_EXPR' && first !== undefined) return { kind: 'not', of: first };
        return { kind: body['boolop'] === 'AND_EXPR' ? 'and' : 'or', of: parts };
      }
      case 'NullTest': {
        tree.only(body, 'IS NULL', ['arg', 'nulltesttype', 'location']);
        counted(1, at);
        const isNull = { kind: 'null', term: termOf(body['arg'] as Node, 'matched') } as const;
        return body['nulltesttype'] === 'IS_NULL' ? isNull : { kind: 'not', of: isNull };
      }
      case 'A_Expr':
        counted(1, at);
        return comparison(body, at);
      case 'SubLink':
        throw sqlFault('subqueries are not supported', at);
      default:
        throw sqlFault('a condition must compare a column with a value', at);
    }
  };

  const comparison = (body: Node, at: number | undefined): Condition<Term> => {
    tree.only(body, 'this comparison', [
      'kind',
      'name',
      'lexpr',
      'rexpr',
      'location',
      'rexpr_list_start',
      'rexpr_list_end',
    ]);
    const operator = tree.string(tree.list(body['name'])[0]) ?? '';
    const left = body['lexpr'] as Node | undefined;
    const right = body['rexpr'] as Node | undefined;
    if (left === undefined || right === undefined)
      throw sqlFault(`"${operator}" needs two sides`, at);
    const negated = (isNegated: boolean, condition: Condition<Term>): Condition<Term> =>
      isNegated ? { kind: 'not', of: condition } : condition;
    switch (body['kind']) {
      case 'AEXPR_OP': {
        const op = comparisons.find((known) => known === operator);
        if (op === undefined) throw sqlFault(`"${operator}" is not supported`, at);
        const how = op === '=' || op === '<>' ? 'matched' : 'compared';
        const isTurned = 'A_Const' in left;
        if (isTurned && 'A_Const' in right)
          throw sqlFault('a condition must compare a column with a value', at);
        const term = termOf(isTurned ? right : left, how);
        const value = terms.value(term, isTurned ? left : right);
        return { kind: 'compare', term, op: isTurned ? flipped[op] : op, value };
      }
      case 'AEXPR_IN': {
        const items = tree.list((right['List'] as Node | undefined)?.['items']);
        if (items.length > sqlLimits.inValues)
          throw sqlFault(`IN has ${items.length} values; ${sqlLimits.inValues} are the most`, at);
        counted(items.length / 10, at);
        const term = termOf(left, 'matched');
        return negated(operator === '<>', {
          kind: 'in',
          term,
          values: items.map((item) => terms.value(term, item)),
        });
      }
      case 'AEXPR_BETWEEN':
      case 'AEXPR_NOT_BETWEEN': {
        const [from, to] = tree.list((right['List'] as Node | undefined)?.['items']);
        const term = termOf(left, 'compared');
        if (from === undefined || to === undefined) throw sqlFault('BETWEEN needs two values', at);
        return negated(body['kind'] === 'AEXPR_NOT_BETWEEN', {
          kind: 'and',
          of: [
            { kind: 'compare', term, op: '>=', value: terms.value(term, from) },
            { kind: 'compare', term, op: '<=', value: terms.value(term, to) },
          ],
        });
      }
      case 'AEXPR_LIKE': {
        const term = termOf(left, 'liked');
        const text = terms.constantText(right);
        if (clause === 'having' || term.kind !== 'column' || term.column.type !== 'text')
          throw sqlFault('LIKE is for columns of text, in WHERE', at);
        if (text === undefined)
          throw sqlFault('LIKE takes a text in single quotes', tree.at(right));
        const pattern = likePattern(text, tree.at(right));
        if (term.column.use === 'unranged' && !isPrefix(pattern))
          throw sqlFault(
            `${term.column.name} is found by a beginning alone: 'SO-%'`,
            tree.at(right),
          );
        return negated(operator === '!~~', { kind: 'like', term, pattern });
      }
      default:
        throw sqlFault(`this form of "${operator}" is not supported`, at);
    }
  };
  return read(root, 1);
}

/** Whether nothing but the end is wild. */
function isPrefix(pattern: LikePattern): boolean {
  const place = pattern.findIndex((part) => typeof part !== 'string');
  const part = pattern[place];
  return (
    place < 0 || (place === pattern.length - 1 && typeof part === 'object' && part.wild === 'any')
  );
}

/** Reads a pattern of LIKE. Errors: it would have the index look through too much. */
function likePattern(text: string, at: number | undefined): LikePattern {
  if (text.length > sqlLimits.likeCharacters)
    throw sqlFault(`a pattern may have ${sqlLimits.likeCharacters} characters`, at);
  const parts: (string | { wild: 'any' | 'one' })[] = [];
  for (const [part] of text.matchAll(/\\[\s\S]|[%_]|[^\\%_]+|\\$/g)) {
    if (part === '\\') throw sqlFault('a pattern may not end in a backslash', at);
    if (part === '%' || part === '_') parts.push({ wild: part === '%' ? 'any' : 'one' });
    else parts.push(part.startsWith('\\') ? part.slice(1) : part);
  }
  const wild = parts.filter((part) => typeof part !== 'string');
  const known = parts.reduce((sum, part) => sum + (typeof part === 'string' ? part.length : 0), 0);
  if (wild.filter((part) => part.wild === 'any').length > sqlLimits.likeWildcards)
    throw sqlFault(`a pattern may have ${sqlLimits.likeWildcards} %`, at);
  const singles = wild.filter((part) => part.wild === 'one').length;
  if (singles > sqlLimits.likeSingles && singles < wild.length)
    throw sqlFault(`a pattern with % may have ${sqlLimits.likeSingles} _`, at);
  const isAnything = text === '%';
  if (wild.length > 0 && !isAnything && typeof parts[0] !== 'string' && known < sqlLimits.likeKnown)
    throw sqlFault(
      `a pattern that begins with % or _ needs ${sqlLimits.likeKnown} known characters`,
      at,
    );
  return parts;
}
