/** Pages of a list: `limit`, an opaque `cursor`, and `nextCursor` in the answer while there is more. */
import { Type, type TSchema } from 'typebox';
import { problem } from '../contracts/problems.ts';

export const pageQuery = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 200, description: 'Most items of a page. Default 50.' }),
  ),
  cursor: Type.Optional(
    Type.String({ maxLength: 500, description: '`nextCursor` of the page before.' }),
  ),
};

/** The answer's schema. */
export function pageSchema(item: TSchema): TSchema {
  return Type.Object({
    items: Type.Array(item),
    nextCursor: Type.Optional(
      Type.String({ description: 'Given while there is more; pass it as `cursor`.' }),
    ),
  });
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}

/**
 * Reads a page: asks for one item more than wanted to learn whether there is a next page. `keyOf` is what the list is
 * ordered by. Errors: validation-failed (cursor).
 */
export async function readPage<Item>(
  query: { limit?: number; cursor?: string },
  read: (page: { after: string | undefined; limit: number }) => Promise<readonly Item[]>,
  keyOf: (item: Item) => string,
): Promise<Page<Item>> {
  const limit = query.limit ?? 50;
  const after = query.cursor === undefined ? undefined : decodeCursor(query.cursor);
  const found = await read({ after, limit: limit + 1 });
  const items = found.slice(0, limit);
  const last = items.at(-1);
  if (found.length <= limit || last === undefined) return { items };
  return { items, nextCursor: Buffer.from(`1:${keyOf(last)}`).toString('base64url') };
}

function decodeCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (/^1:[\w.-]+$/.test(text)) return text.slice(2);
  throw problem('validation-failed', {
    detail: 'The cursor is not one that a page gave.',
    errors: [{ pointer: 'query/cursor', detail: 'must be the nextCursor of a page' }],
  });
}
