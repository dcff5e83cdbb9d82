/** The simulated report API: what devices show of a push, counted and by device. */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { int64Field, parseJson } from '../kit/answers.ts';
import type { ProviderBooks, ProviderCall, ServedReply } from '../sandbox/provider.ts';
import { dayOf } from './reports.ts';
import { deviceKind, type Refused } from './simulator-checks.ts';

export interface Pushed {
  readonly ref: string;
  readonly devices: readonly string[];
  /** Simulated time. */
  readonly atMs: number;
}

interface ReportBooks {
  /** By msg_id. */
  readonly pushes: ReadonlyMap<string, Pushed>;
  readonly device: ProviderBooks['device'];
  /** Simulated time. */
  readonly nowMs: number;
}

const StatusQuerySchema = Type.Object({
  registration_ids: Type.Array(Type.String(), { minItems: 1, maxItems: 1000 }),
  date: Type.Optional(Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' })),
});

export const errorBody = (code: number, message: string): string =>
  JSON.stringify({ error: { code, message } });

export function refused({ status, code, message }: Refused): ServedReply {
  return { status, body: errorBody(code, message), code: String(code) };
}

/** GET /v3/received/detail */
export function answerReceived(call: ProviderCall, books: ReportBooks): ServedReply {
  const msgIds = (call.query.get('msg_ids') ?? '').split(',');
  if (msgIds.length > 100 || !msgIds.every((id) => /^\d{1,20}$/.test(id)))
    return refused({ status: 400, code: 3002, message: 'msg_ids is invalid' });
  const rows = msgIds.flatMap((id) => {
    const pushed = books.pushes.get(id);
    if (pushed === undefined) return [];
    const count = pushed.devices.filter((to) => isShown(pushed, to, books)).length;
    const none = { android_pns_received: null, ios_apns_sent: null, ios_apns_received: null };
    return [{ msg_id: id, jpush_received: count === 0 ? null : count, ...none }];
  });
  return { status: 200, body: JSON.stringify(rows), code: 'OK' };
}

/** POST /v3/status/message */
export function answerStatus(call: ProviderCall, books: ReportBooks): ServedReply {
  const text = call.body.toString('utf8');
  const query = parseJson(text);
  // Its number is beyond what JSON.parse keeps.
  const msgId = /"msg_id"\s*:\s*\d/.test(text) ? int64Field(text, 'msg_id') : undefined;
  if (msgId === undefined || !Check(StatusQuerySchema, query))
    return refused({ status: 400, code: 3002, message: 'a parameter is invalid' });
  const pushed = books.pushes.get(msgId);
  const isDay = pushed !== undefined && dayOf(pushed.atMs) === (query.date ?? dayOf(books.nowMs));
  const statusOf = (id: string) => {
    if (deviceKind(id) !== 'good') return 2;
    if (!pushed?.devices.includes(id)) return 3;
    return isDay && isShown(pushed, id, books) ? 0 : 1;
  };
  const statuses = query.registration_ids.map((id) => [id, { status: statusOf(id) }] as const);
  return { status: 200, body: JSON.stringify(Object.fromEntries(statuses)), code: 'OK' };
}

function isShown({ ref }: Pushed, to: string, { device }: ReportBooks): boolean {
  return device.find({ where: { to, ref }, limit: 1 }).matched > 0;
}
