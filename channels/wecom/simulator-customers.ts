/** Customer contact of the WeCom simulator: tasks, the employees who send them, and the books over both. */
import type { FaultRule } from '../sandbox/faults.ts';
import type { ProviderBooks, ServedReply } from '../sandbox/provider.ts';
import { createWindows } from './simulator-limits.ts';
import { readJson } from './simulator-messages.ts';
import {
  customerPrefixes,
  done,
  memberPrefixes,
  refuse,
  type Read,
  type WecomSettings,
} from './simulator-settings.ts';

type Json = Readonly<Record<string, unknown>>;

interface Task {
  readonly msgid: string;
  readonly ref: string;
  readonly sender: string;
  /** Real epoch seconds, as the caller counts. */
  readonly createdAt: number;
  readonly text: string;
  readonly content: Json;
  readonly rows: Map<string, { status: 0 | 1 | 2 | 3; sentAt?: number }>;
  state: 'awaiting' | 'sent' | 'stopped';
  timer?: NodeJS.Timeout;
}

export interface CustomerDesk {
  /** One call of `externalcontact/<name>`. */
  call(name: string, raw: string, fault: FaultRule | undefined): ServedReply;
  /** The employees send what awaits them: tasks of this mark, or all. How many that were. */
  confirm(ref?: string): number;
  /** Tasks with this mark that an employee sees and can still send. */
  awaiting(ref: string): number;
  clear(): void;
}

const monthSeconds = 31 * 86_400;
const maxCustomers = 10_000;
/** Who gets tasks that name no sender. */
const whoWroteLast = 'lisi';

/** Makes the desk over the provider's books. `now`: simulated epoch milliseconds. */
export function createCustomerDesk(options: {
  readonly books: Pick<ProviderBooks, 'accepted' | 'device'>;
  readonly settings: () => WecomSettings & { readonly clockScale: number };
  readonly now: () => number;
}): CustomerDesk {
  const { books, settings, now } = options;
  const tasks = new Map<string, Task>();
  const perMonth = createWindows(now, monthSeconds * 1000);
  let serial = 0;

  const settle = (task: Task, isSilent: boolean) => {
    if (task.state !== 'awaiting') return;
    task.state = 'sent';
    for (const [customer, row] of task.rows) {
      const month = `${customer}/${new Date(now()).toISOString().slice(0, 7)}`;
      if (customer.startsWith(customerPrefixes.unfriended)) row.status = 2;
      else if (
        customer.startsWith(customerPrefixes.full) ||
        perMonth.within(month, monthSeconds * 1000) >= daysInMonth(now())
      )
        row.status = 3;
      else {
        perMonth.count(month);
        row.status = 1;
        row.sentAt = Math.floor(Date.now() / 1000);
        const { ref, text } = task;
        if (!isSilent)
          books.device.add({ at: Date.now(), to: customer, ref, text, shown: 1, isGone: false });
      }
    }
  };

  const add = (body: Json, fault: FaultRule | undefined): ServedReply => {
    const draft = readTask(body);
    if (draft.refusal !== undefined) return draft.refusal;
    const { customers, sender, text, ref } = draft.value;
    const failed = customers.filter((each) => each.startsWith(customerPrefixes.unreachable));
    serial += 1;
    const msgid = `msgSIM${String(serial).padStart(20, '0')}`;
    const reached = customers.filter((each) => !failed.includes(each));
    const task: Task = {
      msgid,
      ref,
      sender,
      createdAt: Math.floor(Date.now() / 1000),
      text,
      content: { text: body['text'], attachments: body['attachments'] ?? [] },
      rows: new Map(reached.map((each) => [each, { status: 0 }])),
      state: 'awaiting',
    };
    tasks.set(msgid, task);
    for (const to of reached)
      books.accepted.add({ at: Date.now(), to, ref, providerId: msgid, text });
    const { employeeConfirmsAfterMs, clockScale } = settings();
    if (employeeConfirmsAfterMs !== null) {
      const delayMs = Math.min(employeeConfirmsAfterMs / clockScale, 2 ** 31 - 1);
      task.timer = setTimeout(() => settle(task, fault?.kind === 'silent-drop'), delayMs).unref();
    }
    return done({ fail_list: failed, msgid });
  };

  const list = (body: Json): ServedReply => {
    const { chat_type, start_time, end_time, filter_type = 2, limit = 50, cursor = '' } = body;
    if (chat_type !== 'single' && chat_type !== 'group') return refuse(40058, 'invalid chat_type');
    if (typeof start_time !== 'number' || typeof end_time !== 'number' || end_time < start_time)
      return refuse(40058, 'invalid time');
    if (end_time - start_time > monthSeconds) return refuse(40058, 'more than a month');
    const size = typeof limit === 'number' && limit >= 1 && limit <= 100 ? limit : 50;
    const found = [...tasks.values()].filter(
      ({ createdAt }) =>
        chat_type === 'single' &&
        filter_type !== 1 &&
        createdAt >= start_time &&
        createdAt <= end_time,
    );
    const from = Number(cursor) || 0;
    const group_msg_list = found.slice(from, from + size).map(({ msgid, createdAt, content }) => ({
      msgid,
      create_time: createdAt,
      create_type: 0,
      ...content,
    }));
    return done({
      group_msg_list,
      next_cursor: from + size < found.length ? String(from + size) : '',
    });
  };

  const ofTask = (name: string, task: Task, body: Json): ServedReply => {
    switch (name) {
      case 'get_groupmsg_task':
        return done({
          task_list: [{ userid: task.sender, status: task.state === 'sent' ? 2 : 0 }],
          next_cursor: '',
        });
      case 'get_groupmsg_send_result':
        if (body['userid'] !== task.sender) return refuse(60111, 'userid not found');
        return done({
          send_list: [...task.rows].map(([external_userid, { status, sentAt }]) => ({
            external_userid,
            userid: task.sender,
            status,
            ...(sentAt !== undefined && { send_time: sentAt }),
          })),
          next_cursor: '',
        });
      default:
        clearTimeout(task.timer);
        if (task.state === 'awaiting') task.state = 'stopped';
        return done();
    }
  };

  return {
    call: (name, raw, fault) => {
      if (name === 'get_follow_user_list') return done({ follow_user: ['zhangsan', whoWroteLast] });
      const read = readJson(raw);
      if (read.refusal !== undefined) return read.refusal;
      if (name === 'add_msg_template') return add(read.value, fault);
      if (name === 'get_groupmsg_list_v2') return list(read.value);
      const task = tasks.get(String(read.value['msgid']));
      return task === undefined ? refuse(40058, 'invalid msgid') : ofTask(name, task, read.value);
    },
    confirm: (ref) => {
      const wanted = [...tasks.values()].filter(
        (task) => task.state === 'awaiting' && (ref === undefined || task.ref === ref),
      );
      for (const task of wanted) settle(task, false);
      return wanted.length;
    },
    awaiting: (ref) =>
      [...tasks.values()].filter((task) => task.state === 'awaiting' && task.ref === ref).length,
    clear: () => {
      for (const { timer } of tasks.values()) clearTimeout(timer);
      tasks.clear();
      perMonth.clear();
    },
  };
}

interface Draft {
  readonly customers: readonly string[];
  readonly sender: string;
  readonly text: string;
  readonly ref: string;
}

function readTask(body: Json): Read<Draft> {
  const no = (errcode: number, errmsg: string) => ({ refusal: refuse(errcode, errmsg) });
  const { chat_type = 'single', external_userid, sender, attachments = [] } = body;
  if (chat_type !== 'single') return no(40058, 'only tasks for single customers are simulated');
  // Without the list the real API writes to all customers of the sender; nobody here may want that.
  if (!Array.isArray(external_userid) || external_userid.length === 0)
    return no(40058, 'external_userid is empty');
  const customers = external_userid.map(String);
  if (customers.length > maxCustomers) return no(40058, 'too many external_userid');
  const isBad = (each: string) =>
    !/^[A-Za-z0-9_-]{8,64}$/.test(each) || each.startsWith(customerPrefixes.malformed);
  if (customers.some(isBad)) return no(40096, 'invalid external userid');
  if (sender !== undefined && (typeof sender !== 'string' || sender === ''))
    return no(40003, 'invalid sender');
  if (sender?.toLowerCase().startsWith(memberPrefixes.invalid) === true)
    return no(60111, 'userid not found');
  if (customers.some((each) => each.startsWith(customerPrefixes.unrelated)))
    return no(84061, 'not external contact');
  const text = (body['text'] as Json | undefined)?.['content'];
  if (text !== undefined && typeof text !== 'string') return no(40058, 'invalid text.content');
  if (Buffer.byteLength(text ?? '') > 4000) return no(45002, 'content too long');
  if (!Array.isArray(attachments) || attachments.length > 9)
    return no(40058, 'invalid attachments');
  if (text === undefined && attachments.length === 0) return no(44004, 'empty content');
  const links = attachments.map((each) => readLink(each as Json));
  if (links.includes(undefined)) return no(40058, 'invalid attachment');
  const marks = links.map((url) => /#mc=([0-9a-f]+)$/.exec(url ?? '')?.[1]);
  return {
    value: {
      customers,
      sender: sender ?? whoWroteLast,
      text: [text, ...links].filter((each) => each !== undefined).join('\n'),
      ref: marks.find((mark) => mark !== undefined) ?? '',
    },
  };
}

/** The address of a link attachment, the only kind that is simulated. */
function readLink(attachment: Json): string | undefined {
  const { title, url, desc = '', picurl = '' } = (attachment['link'] ?? {}) as Json;
  if (attachment['msgtype'] !== 'link') return undefined;
  if (typeof title !== 'string' || typeof url !== 'string' || !/^https?:\/\//.test(url))
    return undefined;
  const sizes = [
    [title, 128],
    [String(desc), 512],
    [url, 2048],
    [String(picurl), 2048],
  ] as const;
  return sizes.every(([value, bytes]) => Buffer.byteLength(value) <= bytes) ? url : undefined;
}

function daysInMonth(timeMs: number): number {
  const date = new Date(timeMs);
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
}
