/** Looking into PostgreSQL's parse tree: nodes are `{ Kind: { … } }`, places are offsets in bytes. */
import { sqlFault } from './select.ts';

export type Node = Readonly<Record<string, unknown>>;
type Body = Readonly<Record<string, unknown>>;

export type Tree = ReturnType<typeof createTree>;

/** Makes the readers for one text. */
export function createTree(text: string) {
  const bytes = Buffer.from(text, 'utf8');
  /** The character (from 1) at a byte. */
  const character = (byte: number) => bytes.subarray(0, byte).toString('utf8').length + 1;
  const node = (of: Node): [string, Body] => {
    const [entry] = Object.entries(of);
    if (entry === undefined) throw sqlFault('has a part that cannot be read');
    return [entry[0], entry[1] as Body];
  };
  const at = (of: Node): number | undefined => {
    const [, body] = node(of);
    const { location } = body;
    if (typeof location === 'number' && location >= 0) return character(location);
    // What has no place of its own is where its first part is.
    for (const inner of Object.values(body)) {
      const first: unknown = Array.isArray(inner) ? inner[0] : inner;
      if (typeof first !== 'object' || first === null || Object.keys(first).length === 0) continue;
      const [value] = Object.values(first);
      if (typeof value !== 'object' || value === null) continue;
      const found = at(first as Node);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const list = (of: unknown): readonly Node[] => (Array.isArray(of) ? (of as Node[]) : []);
  const string = (of: Node | undefined): string | undefined => {
    const { sval } = (of?.['String'] ?? {}) as { sval?: unknown };
    return typeof sval === 'string' ? sval : undefined;
  };
  return {
    character,
    node,
    at,
    list,
    string,
    /** Errors: the body has a part that is not named here. */
    only: (body: Body, what: string, parts: readonly string[]): void => {
      const other = Object.keys(body).find((part) => !parts.includes(part));
      if (other === undefined) return;
      const { location } = body;
      throw sqlFault(
        `${what}: ${other} is not supported`,
        typeof location === 'number' ? character(location) : undefined,
      );
    },
    /** The whole number that this is; undefined: it is none. */
    integer: (of: Node): number | undefined => {
      const constant = of['A_Const'] as { ival?: { ival?: number } } | undefined;
      return constant?.ival === undefined ? undefined : (constant.ival.ival ?? 0);
    },
    /** The bare name that this is; undefined: it is something else. */
    columnName: (of: Node): string | undefined => {
      const reference = of['ColumnRef'] as Body | undefined;
      const fields = list(reference?.['fields']);
      return fields.length === 1 ? string(fields[0]) : undefined;
    },
  };
}
