/** The audit log: search, and export as lines. */
import { pipeline } from 'node:stream/promises';
import { Type, type Static } from 'typebox';
import { AuditEntrySchema } from '../../contracts/audit.ts';
import { NameSchema } from '../../contracts/message.ts';
import { route, type Route } from '../../platform/http.ts';
import type { AuditFilter } from '../../store/index.ts';
import { requireTenant, type AdminDeps, type Administrator } from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';

const word = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 128, description }));
const time = (description: string) =>
  Type.Optional(Type.String({ format: 'date-time', description }));
const filterQuery = {
  tenantId: Type.Optional(Type.String({ ...NameSchema, description: 'Only of this tenant.' })),
  actor: word('Only by this user: usr_…, or admin for the holder of MC_ADMIN_TOKEN.'),
  operation: word('Only this operation: replaceTemplate.'),
  targetType: word('Only of this kind of thing: template.'),
  target: word('Only of the thing with this id: tpl_…'),
  from: time('Asked for at this time or later.'),
  to: time('Asked for before this time.'),
};
const ListQuerySchema = Type.Object(
  { ...filterQuery, ...pageQuery },
  { additionalProperties: false },
);
const ExportQuerySchema = Type.Object(filterQuery, { additionalProperties: false });

const tag = 'Audit';
/** Entries may be large; one read of them is held at a time. */
const exportPage = 100;

/** The routes. */
export function auditRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator, never, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/audit',
      operationId: 'listAudit',
      summary: 'Who changed what, and what was refused; newest first',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(AuditEntrySchema) } },
      problems: ['forbidden'],
      handle: async ({ query }) => {
        const filter = await filterOf(query);
        const page = await readPage(
          query,
          (wanted) => store.audit.list(filter, wanted),
          ({ id }) => id,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator, never, typeof ExportQuerySchema>({
      method: 'get',
      path: '/v1/audit/export',
      operationId: 'exportAudit',
      summary: 'The same as lines of JSON, all of them',
      description: 'application/x-ndjson, newest first. An answer that breaks off is not whole.',
      tag,
      query: ExportQuerySchema,
      responses: { 200: { description: 'An entry in each line.' } },
      problems: ['forbidden'],
      handle: async ({ query, requestId }) => {
        const filter = await filterOf(query);
        const read = (after?: string) => store.audit.list(filter, { after, limit: exportPage });
        // Read before the answer begins, so that a database that is away is a problem and no broken answer.
        const first = await read();
        return {
          status: 200,
          headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
          stream: (response) => {
            pipeline(linesFrom(first, read), response).catch((error: unknown) => {
              logger.warn({ error, requestId }, 'audit.export-broke-off');
            });
          },
        };
      },
    }),
  ];

  async function filterOf({
    actor,
    operation,
    target,
    ...query
  }: Static<typeof ExportQuerySchema>): Promise<AuditFilter> {
    const { tenantId, targetType, from, to } = query;
    if (tenantId !== undefined) await requireTenant(store, tenantId, 'query/tenantId');
    return {
      tenantId,
      actorId: actor,
      operationId: operation,
      targetType,
      targetId: target,
      from,
      to,
    };
  }
}

type Entries = readonly Static<typeof AuditEntrySchema>[];

async function* linesFrom(first: Entries, read: (after: string) => Promise<Entries>) {
  let page = first;
  for (;;) {
    for (const entry of page) yield `${JSON.stringify(entry)}\n`;
    const last = page.at(-1);
    if (last === undefined || page.length < exportPage) return;
    page = await read(last.id);
  }
}
