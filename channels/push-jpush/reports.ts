/** What became of pushes, asked at JPush's report API: first which were delivered at all, then to which devices. */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { AskedReceipt, SentMessage } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { parseJson } from '../kit/answers.ts';
import { classifyRefusal } from './classify.ts';

export interface ReportCalls {
  readonly get: (pathAndQuery: string) => Promise<ProviderAnswer>;
  readonly post: (path: string, body: string) => Promise<ProviderAnswer>;
  readonly now: () => number;
}

const idsPerCall = 100;
const devicesPerCall = 1000;

/** Counts of one push; `…_received` of every way it went, null where it went none. */
const CountsSchema = Type.Array(
  Type.Intersect([
    Type.Object({ msg_id: Type.String({ pattern: '^[0-9]+$' }) }),
    Type.Record(Type.String(), Type.Unknown()),
  ]),
);
const StatusSchema = Type.Record(Type.String(), Type.Object({ status: Type.Integer() }));

/** 0 delivered, 1 not delivered, 2 not a device of this app, 3 not among the push's devices, 4 an error. */
const delivered = 0;
const strange = 2;

type Asked = SentMessage & { readonly providerId: string };

/** Tells of messages that JPush has news of. Errors: the report API does not answer, or refuses. */
export async function askReports(
  messages: readonly SentMessage[],
  calls: ReportCalls,
): Promise<readonly AskedReceipt[]> {
  const asked = messages.filter((message): message is Asked =>
    /^\d{1,20}$/.test(message.providerId ?? ''),
  );
  const byId = new Map<string, Asked[]>();
  for (const message of asked) {
    const same = byId.get(message.providerId);
    if (same === undefined) byId.set(message.providerId, [message]);
    else same.push(message);
  }
  const receipts: AskedReceipt[] = [];
  for (const msgIds of inChunks([...byId.keys()], idsPerCall))
    for (const msgId of await deliveredIds(msgIds, calls))
      for (const chunk of inChunks(byId.get(msgId) ?? [], devicesPerCall))
        receipts.push(...(await askDevices(msgId, chunk, calls)));
  return receipts;
}

/** Of these pushes, those that reached at least one device. */
async function deliveredIds(
  msgIds: readonly string[],
  calls: ReportCalls,
): Promise<readonly string[]> {
  const answer = await calls.get(`/v3/received/detail?msg_ids=${msgIds.join(',')}`);
  // Older documents show the id as a number, which JSON.parse would round.
  const counts = readReport(answer, (text) => text.replaceAll(/("msg_id"\s*:\s*)(\d+)/g, '$1"$2"'));
  if (!Check(CountsSchema, counts)) throw new Error('the answer of received/detail cannot be read');
  const isReceived = ([name, count]: [string, unknown]) =>
    name.endsWith('_received') && typeof count === 'number' && count > 0;
  return counts.filter((row) => Object.entries(row).some(isReceived)).map((row) => row.msg_id);
}

async function askDevices(
  msgId: string,
  messages: readonly Asked[],
  calls: ReportCalls,
): Promise<readonly AskedReceipt[]> {
  const occurredAt = new Date(calls.now()).toISOString();
  const news = new Map<string, number>();
  for (const day of daysOf(messages, calls.now())) {
    const open = messages.filter((message) => news.get(deviceOf(message)) !== delivered);
    if (open.length === 0) break;
    const devices = JSON.stringify(open.map(deviceOf));
    // The id is a number there, beyond what a number of ours can hold.
    const body = `{"msg_id":${msgId},"registration_ids":${devices},"date":"${day}"}`;
    const statuses = readReport(await calls.post('/v3/status/message', body));
    if (!Check(StatusSchema, statuses))
      throw new Error('the answer of status/message cannot be read');
    for (const [device, { status }] of Object.entries(statuses)) news.set(device, status);
  }
  return messages.flatMap((message): AskedReceipt[] => {
    const common = { deliveryKey: message.deliveryKey, providerId: msgId, occurredAt };
    const status = news.get(deviceOf(message));
    if (status === delivered) return [{ ...common, status: 'delivered' }];
    if (status !== strange) return [];
    return [{ ...common, status: 'failed', outcome: 'recipient-invalid', providerCode: '2' }];
  });
}

const deviceOf = ({ to }: SentMessage) => addressAs('deviceToken', to) ?? '';

/** The days of UTC+8 on which they can have arrived, of those that are asked about: the first one's, and today. */
function daysOf(messages: readonly SentMessage[], nowMs: number): readonly string[] {
  const sentMs = Math.min(...messages.map(({ sentAt }) => Date.parse(sentAt)));
  return [...new Set([sentMs, nowMs].map(dayOf))];
}

/** `yyyy-mm-dd` in UTC+8. */
export function dayOf(timeMs: number): string {
  return new Date(timeMs + 8 * 3_600_000).toISOString().slice(0, 10);
}

function readReport(answer: ProviderAnswer, prepare = (text: string) => text): unknown {
  const refusal = classifyRefusal(answer, { to: [], jitter: 0 });
  if (refusal !== undefined)
    throw new Error(
      `the report API said ${refusal.providerCode ?? refusal.providerMessage ?? refusal.class}`,
    );
  return answer.kind === 'answer' ? parseJson(prepare(answer.body)) : undefined;
}

function* inChunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}
