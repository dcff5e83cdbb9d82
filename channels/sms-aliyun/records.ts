/** QuerySendDetails: the provider's records of one number, day by day, in which messages of ours are looked up. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { AskedReceipt, SentMessage } from '../../contracts/channel.ts';
import type { To } from '../../contracts/message.ts';
import type { ReconcileOutcome, SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { parseJson } from '../kit/answers.ts';
import { toProviderNumber } from './address.ts';
import { batchBizId, batchOutId, isBatchOutId } from './batch-ids.ts';
import { partsOf, type BatchMessage } from './batch.ts';
import { AnswerSchema } from './classify.ts';
import { failureMeaning } from './receipts.ts';
import { providerDay, providerTime } from './time.ts';

const Text = Type.Optional(Type.Union([Type.String(), Type.Null()]));
const RecordSchema = Type.Object({
  OutId: Text,
  ErrCode: Text,
  /** 1 waiting, 2 failed, 3 delivered. */
  SendStatus: Type.Optional(Type.Union([Type.Integer(), Type.String(), Type.Null()])),
  SendDate: Text,
  ReceiveDate: Text,
});
type SmsRecord = Static<typeof RecordSchema>;
const DetailsSchema = Type.Object({
  TotalCount: Type.Union([Type.Integer(), Type.String({ pattern: '^[0-9]{1,9}$' })]),
  SmsSendDetailDTOs: Type.Object({ SmsSendDetailDTO: Type.Array(RecordSchema) }),
});

const pageSize = 50;
const maxPages = 20;
/** Numbers of a lost batch looked up at once. */
const askedAtOnce = 10;
/** Clocks may differ by what the gateway tolerates. */
const skewMs = 15 * 60_000;

export interface RecordsAccess {
  /** One QuerySendDetails call. */
  readonly query: (params: Record<string, string>, signal: AbortSignal) => Promise<ProviderAnswer>;
  readonly classify: (answer: ProviderAnswer) => SendOutcome;
}

/** The parameters of the first page of a number's records of the day of `timeMs`. */
export function detailsQuery(number: string, timeMs: number): Record<string, string> {
  return {
    PhoneNumber: number,
    SendDate: providerDay(timeMs),
    PageSize: String(pageSize),
    CurrentPage: '1',
  };
}

/**
 * Whether a call for this message is in the records: yes for our key alone. A call for several messages around that time
 * may have held it or not, for the records name no message of it: then nobody can tell.
 */
export async function reconcileByRecords(
  access: RecordsAccess,
  call: { to: To; deliveryKey: string; sentAt: string; signal: AbortSignal },
): Promise<ReconcileOutcome> {
  const { to, deliveryKey, signal } = call;
  const sentAtMs = Date.parse(call.sentAt);
  const isOurs = (record: SmsRecord) => record.OutId === deliveryKey;
  const search = { number: toProviderNumber(to), sentAtMs, isEnough: isOurs, signal };
  const { records, fault } = await readRecords(access, search);
  // The books give no BizId; later receipts are matched by the delivery key.
  if (records.some(isOurs)) return { found: 'yes' };
  if (fault !== undefined) return { found: 'cannot-tell', detail: fault.detail };
  const isBatchOfThen = ({ OutId, SendDate }: SmsRecord) => {
    const timeMs = Date.parse(providerTime(SendDate) ?? '');
    return isBatchOutId(OutId ?? '') && !(Math.abs(timeMs - sentAtMs) > skewMs);
  };
  return records.some(isBatchOfThen)
    ? { found: 'cannot-tell', detail: 'a call for several messages reached this number then' }
    : { found: 'no' };
}

/**
 * Which messages of a lost batch are in the records: each is looked up under the OutIds of all calls that it may have been
 * part of. What one of them tells holds for all of that call.
 */
export async function reconcileBatchByRecords(
  access: RecordsAccess,
  lost: {
    readonly messages: readonly BatchMessage[];
    readonly asked: readonly number[];
    readonly sentAt: string;
    readonly signal: AbortSignal;
  },
): Promise<readonly ReconcileOutcome[]> {
  const { messages, asked, signal } = lost;
  const sentAtMs = Date.parse(lost.sentAt);
  const keysOf = (part: readonly number[]) =>
    part.flatMap((place) => messages[place]?.deliveryKey ?? []);
  const calls = partsOf(messages).map((part) => {
    const [key = '', ...others] = keysOf(part);
    return { part, outId: others.length === 0 ? key : batchOutId([key, ...others]) };
  });
  const known = new Map<number, ReconcileOutcome>();
  const ask = async (place: number): Promise<void> => {
    const message = messages[place];
    if (message === undefined || known.has(place)) return;
    const its = new Map(
      calls.flatMap((call) => (call.part.includes(place) ? [[call.outId, call.part]] : [])),
    );
    const isOurs = ({ OutId }: SmsRecord) => its.has(OutId ?? '');
    const number = toProviderNumber(message.to);
    const { records, fault } = await readRecords(access, {
      number,
      sentAtMs,
      isEnough: isOurs,
      signal,
    });
    const ours = records.find(isOurs);
    // The books give no BizId.
    if (ours !== undefined)
      for (const each of its.get(ours.OutId ?? '') ?? []) known.set(each, { found: 'yes' });
    else
      known.set(
        place,
        fault === undefined ? { found: 'no' } : { found: 'cannot-tell', detail: fault.detail },
      );
  };
  // The first alone: mostly one call was lost, and its answer is everybody's.
  const left = [...asked];
  const [first] = left;
  if (first !== undefined) await ask(first);
  const askNext = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await ask(next);
  };
  await Promise.all(Array.from({ length: askedAtOnce }, askNext));
  return asked.map(
    (place) => known.get(place) ?? { found: 'cannot-tell', detail: 'it was not in the batch' },
  );
}

/**
 * Asks what became of messages, one by one: by our key those that were sent alone, by BizId and number those of a call
 * for several. Errors: the provider could not be asked; nothing is told then.
 */
export async function askByRecords(
  access: RecordsAccess & { readonly now: () => number },
  messages: readonly SentMessage[],
  signal: AbortSignal,
): Promise<readonly AskedReceipt[]> {
  const told: AskedReceipt[] = [];
  for (const message of messages) {
    const { to, deliveryKey, providerId, sentAt } = message;
    const number = toProviderNumber(to);
    const bizId = providerId === undefined ? undefined : batchBizId(providerId, number);
    const isOurs = ({ OutId }: SmsRecord) =>
      bizId === undefined ? OutId === deliveryKey : isBatchOutId(OutId ?? '');
    const { records, fault } = await readRecords(access, {
      number,
      sentAtMs: Date.parse(sentAt),
      bizId,
      isEnough: (record) => bizId === undefined && isOurs(record),
      signal,
    });
    const ours = records.filter(isOurs);
    if (ours.length === 0 && fault?.isPassing === true)
      throw new Error(`QuerySendDetails: ${fault.detail}`);
    // A number is once in a call: of more than one record it is unknown which is meant.
    if (bizId !== undefined && ours.length > 1) continue;
    const receipt = toReceipt(ours, access.now());
    const ids = { deliveryKey, ...(providerId !== undefined && { providerId }) };
    if (receipt !== undefined) told.push({ ...ids, ...receipt });
  }
  return told;
}

/** What the records of one message say: delivered if one of them is, failed if all are. */
function toReceipt(
  records: readonly SmsRecord[],
  nowMs: number,
): Omit<AskedReceipt, 'deliveryKey' | 'providerId'> | undefined {
  const isOf = (status: number) => (record: SmsRecord) => Number(record.SendStatus) === status;
  const delivered = records.find(isOf(3));
  const told = delivered ?? (records.every(isOf(2)) ? records[0] : undefined);
  if (told === undefined) return undefined;
  const { ErrCode: code, ReceiveDate, SendDate } = told;
  const said = {
    ...(code && { providerCode: code }),
    occurredAt:
      providerTime(ReceiveDate) ?? providerTime(SendDate) ?? new Date(nowMs).toISOString(),
  };
  return delivered === undefined
    ? { ...said, status: 'failed', outcome: failureMeaning(code) }
    : { ...said, status: 'delivered' };
}

interface Search {
  readonly number: string;
  readonly sentAtMs: number;
  readonly bizId?: string | undefined;
  /** Nothing more needs to be read once this record was seen. */
  readonly isEnough: (record: SmsRecord) => boolean;
  readonly signal: AbortSignal;
}

interface Fault {
  readonly detail: string;
  /** The provider could not be asked, about anything; else it has no full answer for this number. */
  readonly isPassing: boolean;
}

/** Reads all pages of the days on which a call of `sentAtMs` may be written down. */
async function readRecords(
  { query, classify }: RecordsAccess,
  { number, sentAtMs, bizId, isEnough, signal }: Search,
): Promise<{ readonly records: readonly SmsRecord[]; readonly fault?: Fault }> {
  const records: SmsRecord[] = [];
  const broken = (detail: string) => ({ records, fault: { detail, isPassing: false } });
  for (const dayMs of daysAround(sentAtMs)) {
    let seen = 0;
    for (let page = 1; ; page += 1) {
      if (page > maxPages) return broken(`more than ${maxPages * pageSize} records on one day`);
      const answer = await query(
        {
          ...detailsQuery(number, dayMs),
          CurrentPage: String(page),
          ...(bizId !== undefined && { BizId: bizId }),
        },
        signal,
      );
      const body = answer.kind === 'answer' ? parseJson(answer.body) : undefined;
      const outcome = classify(answer);
      if (outcome.class !== 'accepted' || !Check(DetailsSchema, body)) {
        const isOfNumber = ['recipient-invalid', 'content-rejected'].includes(outcome.class);
        return { records, fault: { detail: describe(answer, body), isPassing: !isOfNumber } };
      }
      const shown = body.SmsSendDetailDTOs.SmsSendDetailDTO;
      records.push(...shown);
      if (shown.some(isEnough)) return { records };
      seen += shown.length;
      if (seen >= Number(body.TotalCount)) break;
      if (shown.length === 0) return broken(`${seen} of ${body.TotalCount} records shown`);
    }
  }
  return { records };
}

function describe(answer: ProviderAnswer, body: unknown): string {
  if (answer.kind !== 'answer') return answer.cause;
  return Check(AnswerSchema, body) ? body.Code : `HTTP ${answer.status} without a readable answer`;
}

/** A time of each day that a call of this time may be found under: near midnight two. */
function daysAround(timeMs: number): readonly number[] {
  const times = [timeMs, timeMs - skewMs, timeMs + skewMs];
  return times.filter(
    (time, index) => times.findIndex((each) => providerDay(each) === providerDay(time)) === index,
  );
}
