/** WeCom's books of customer tasks: was this one made, and what became of it? */
import { Type, type Static, type TSchema } from 'typebox';
import { Check } from 'typebox/value';
import type { AskedReceipt, SentMessage } from '../../contracts/channel.ts';
import type { To } from '../../contracts/message.ts';
import type { ReconcileOutcome } from '../../contracts/outcome.ts';
import type { TextAnswer } from './api.ts';
import { markIn, markOf } from './mark.ts';

export type TaskCall = (
  name: string,
  body: Readonly<Record<string, unknown>>,
  options: { readonly signal: AbortSignal; readonly to?: readonly To[] },
) => Promise<TextAnswer>;

const CursorSchema = Type.Optional(Type.Union([Type.String(), Type.Null()]));

const ListSchema = Type.Object({
  next_cursor: CursorSchema,
  group_msg_list: Type.Array(
    Type.Object({
      msgid: Type.String(),
      creator: Type.Optional(Type.String()),
      attachments: Type.Optional(
        Type.Array(
          Type.Object({ link: Type.Optional(Type.Object({ url: Type.Optional(Type.String()) })) }),
        ),
      ),
    }),
  ),
});
type ListedTask = Static<typeof ListSchema>['group_msg_list'][number];

const MembersSchema = Type.Object({
  next_cursor: CursorSchema,
  task_list: Type.Array(Type.Object({ userid: Type.String() })),
});

const ResultsSchema = Type.Object({
  next_cursor: CursorSchema,
  send_list: Type.Array(
    Type.Object({
      external_userid: Type.Optional(Type.String()),
      status: Type.Integer(),
      send_time: Type.Optional(Type.Integer()),
    }),
  ),
});
type ResultRow = Static<typeof ResultsSchema>['send_list'][number];

/** The books could not be read; `outcome` is what the call came to. */
class Unreadable extends Error {
  readonly outcome: TextAnswer['outcome'];

  constructor(outcome: TextAnswer['outcome']) {
    const { providerCode, providerMessage } = outcome;
    super(`${outcome.class}: ${providerCode ?? ''} ${providerMessage ?? ''}`.trimEnd());
    this.outcome = outcome;
  }
}

const clockSkewMs = 120_000;
const listPage = 100;
const maxPages = 20;
/** Tasks without a mark that are looked into one by one; more than these are too many to tell. */
const maxUnmarked = 20;

/** Makes the questions over `call`. Errors of `receiptOf`: the books cannot be read now. */
export function createTaskBooks(call: TaskCall, { now }: { readonly now: () => number }) {
  const read = async <Schema extends TSchema>(
    name: string,
    body: Readonly<Record<string, unknown>>,
    { schema, signal }: { readonly schema: Schema; readonly signal: AbortSignal },
  ): Promise<Static<Schema>> => {
    const { outcome, json } = await call(name, body, { signal });
    if (outcome.class !== 'accepted' || !Check(schema, json)) throw new Unreadable(outcome);
    return json;
  };

  /** All pages. Errors: Unreadable, also where there is no end of them. */
  const pages = async <Page extends { next_cursor?: string | null | undefined }>(
    fetchPage: (cursor: object) => Promise<Page>,
  ): Promise<readonly Page[]> => {
    const found: Page[] = [];
    let cursor: string | null | undefined;
    do {
      if (found.length === maxPages)
        throw new Unreadable({ class: 'transient', providerMessage: 'too many records' });
      const page = await fetchPage(cursor === undefined ? {} : { cursor });
      found.push(page);
      cursor = page.next_cursor;
    } while (cursor !== undefined && cursor !== null && cursor !== '');
    return found;
  };

  /** What each member who has the task says of this customer; no rows: it was not made for them, or not yet handed out. */
  const resultsOf = async (
    msgid: string,
    customer: string,
    signal: AbortSignal,
  ): Promise<{ readonly members: number; readonly rows: readonly ResultRow[] }> => {
    const tasks = await pages((cursor) =>
      read(
        'get_groupmsg_task',
        { msgid, limit: 1000, ...cursor },
        { schema: MembersSchema, signal },
      ),
    );
    const members = tasks.flatMap((page) => page.task_list.map(({ userid }) => userid));
    const rows: ResultRow[] = [];
    for (const userid of members) {
      const results = await pages((cursor) =>
        read(
          'get_groupmsg_send_result',
          { msgid, userid, limit: 1000, ...cursor },
          { schema: ResultsSchema, signal },
        ),
      );
      rows.push(
        ...results.flatMap((page) =>
          page.send_list.filter((row) => row.external_userid === customer),
        ),
      );
    }
    return { members: members.length, rows };
  };

  return {
    /**
     * Looks for the task in all that were made around that time. Found: by the mark in its link. Not found: only where
     * no unmarked task of these minutes concerns the customer, for a text alone holds nothing of ours.
     */
    find: async (wanted: {
      readonly customer: string;
      readonly deliveryKey: string;
      readonly sentAtMs: number;
      readonly lastMs: number;
      readonly signal: AbortSignal;
    }): Promise<ReconcileOutcome> => {
      const { customer, signal } = wanted;
      const mark = markOf(wanted.deliveryKey);
      const span = {
        chat_type: 'single',
        start_time: Math.floor((wanted.sentAtMs - clockSkewMs) / 1000),
        end_time: Math.ceil((wanted.lastMs + clockSkewMs) / 1000),
        limit: listPage,
      };
      try {
        const lists = await pages((cursor) =>
          read('get_groupmsg_list_v2', { ...span, ...cursor }, { schema: ListSchema, signal }),
        );
        const listed = lists.flatMap((page) => page.group_msg_list);
        const found = listed.find((task) => marksOf(task).includes(mark));
        if (found !== undefined) return { found: 'yes', providerId: found.msgid };
        // What a person made has a creator; what the API made has none.
        const unmarked = listed.filter(
          (task) => marksOf(task).length === 0 && (task.creator ?? '') === '',
        );
        if (unmarked.length > maxUnmarked)
          return { found: 'cannot-tell', detail: `${unmarked.length} tasks without a mark` };
        for (const { msgid } of unmarked) {
          const { members, rows } = await resultsOf(msgid, customer, signal);
          if (members === 0 || rows.length > 0)
            return { found: 'cannot-tell', detail: 'a task without a mark may be this one' };
        }
        return { found: 'no' };
      } catch (error) {
        if (error instanceof Unreadable) return { found: 'cannot-tell', detail: error.message };
        throw error;
      }
    },

    /** One receipt, or none while the employee has not confirmed, and for what the books do not know. */
    receiptOf: async (
      message: SentMessage & { readonly customer: string },
      signal: AbortSignal,
    ): Promise<readonly AskedReceipt[]> => {
      const { providerId, deliveryKey, customer } = message;
      if (providerId === undefined) return [];
      try {
        const { rows } = await resultsOf(providerId, customer, signal);
        const receipt = { deliveryKey, providerId };
        const sent = rows.find((row) => row.status === 1);
        if (sent !== undefined)
          return [{ ...receipt, status: 'delivered', occurredAt: isoTime(sent.send_time, now) }];
        const failed = rows.find((row) => row.status === 2 || row.status === 3);
        if (failed === undefined) return [];
        return [
          {
            ...receipt,
            status: 'failed',
            outcome: 'recipient-refused',
            providerCode: `status ${failed.status}`,
            providerMessage: failureTexts[failed.status] ?? '',
            occurredAt: isoTime(undefined, now),
          },
        ];
      } catch (error) {
        // One task that WeCom will not speak of must not keep the others from being asked about.
        if (error instanceof Unreadable && isOfTask(error.outcome)) return [];
        throw error;
      }
    },
  };
}

const failureTexts: Readonly<Record<number, string>> = {
  2: 'the customer is no longer a contact of the employee',
  3: "the customer's mass messages of this day or month are used up",
};

/** A refusal that concerns this one task; an unknown code is taken for one. */
function isOfTask({ class: outcome, providerCode = '-1' }: TextAnswer['outcome']): boolean {
  if (outcome === 'transient') return !['-1', '6000'].includes(providerCode);
  return outcome === 'content-rejected' || outcome === 'recipient-invalid';
}

function marksOf(task: ListedTask): readonly string[] {
  return (task.attachments ?? []).flatMap(({ link }) => markIn(link?.url ?? '') ?? []);
}

const isoTime = (seconds: number | undefined, now: () => number) =>
  new Date(seconds === undefined ? now() : seconds * 1000).toISOString();
