/** The simulated provider's books: what was accepted, what phones show, what became of it, and how it is asked for. */
import { createLedger, type Ledger } from '../sandbox/ledger.ts';
import { refuse, type Refusal } from './simulator-gateway.ts';

/** A message the API took. Times are real epoch milliseconds. */
export interface SmsRecord {
  readonly at: number;
  readonly phone: string;
  readonly text: string;
  readonly outId: string;
  readonly bizId: string;
  readonly templateCode: string;
  readonly smsSize: number;
  /** As QuerySendDetails tells it: 1 waiting, 2 failed, 3 delivered. */
  sendStatus: 1 | 2 | 3;
  errCode: string;
  reportAt: number | undefined;
}

/** A message as a person saw it. */
export interface DeviceMessage {
  readonly at: number;
  readonly phone: string;
  readonly text: string;
  readonly outId: string;
  readonly bizId: string;
  readonly templateCode: string;
}

/** One call as it came in, refused or not. */
export interface CallRecord {
  readonly at: number;
  readonly action: string;
  /** OK, a refusal's code, or the fault that was played. */
  readonly code: string;
  readonly numbers: number;
}

export interface Books {
  readonly accepted: Ledger<SmsRecord, 'phone' | 'outId' | 'templateCode'>;
  readonly device: Ledger<DeviceMessage, 'phone' | 'outId' | 'templateCode'>;
  readonly calls: Ledger<CallRecord, 'action' | 'code'>;
}

/** Empty books. */
export function createBooks(): Books {
  const keys = {
    phone: (entry: DeviceMessage) => entry.phone,
    outId: (entry: DeviceMessage) => entry.outId,
    templateCode: (entry: DeviceMessage) => entry.templateCode,
  };
  return {
    accepted: createLedger<SmsRecord, keyof typeof keys>({ keys }),
    device: createLedger<DeviceMessage, keyof typeof keys>({ keys }),
    calls: createLedger<CallRecord, 'action' | 'code'>({
      keys: { action: (entry) => entry.action, code: (entry) => entry.code },
    }),
  };
}

/** `2026-01-02 03:04:05` in UTC+8, as the provider writes times. */
export function localTime(timeMs: number): string {
  return new Date(timeMs + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
}

/** Answers QuerySendDetails from the accepted ledger: newest first, one day of UTC+8, in pages of at most 50. */
export function querySendDetails(
  params: Readonly<Record<string, string>>,
  books: Books,
): Record<string, unknown> | Refusal {
  const required = ['PhoneNumber', 'SendDate', 'PageSize', 'CurrentPage'];
  const missing = required.find((name) => (params[name] ?? '') === '');
  if (missing !== undefined)
    return refuse(400, `Missing${missing}`, `${missing} is mandatory for this action.`);
  const pageSize = Number(params['PageSize']);
  const page = Number(params['CurrentPage']);
  const isWhole = Number.isInteger(pageSize) && Number.isInteger(page);
  if (
    !isWhole ||
    pageSize < 1 ||
    pageSize > 50 ||
    page < 1 ||
    !/^\d{8}$/.test(params['SendDate'] ?? '')
  )
    return refuse(200, 'isv.INVALID_PARAMETERS', '参数异常');
  const phone = (params['PhoneNumber'] ?? '').replace(/^(?:\+86|0086|86)(?=1)/, '');
  const bizId = params['BizId'];
  const rows = books.accepted
    .find({ where: { phone }, limit: Infinity })
    .entries.filter(
      (record) =>
        localTime(record.at).slice(0, 10).replaceAll('-', '') === params['SendDate'] &&
        (bizId === undefined || bizId === '' || record.bizId === bizId),
    );
  const shown = rows.slice((page - 1) * pageSize, page * pageSize).map((record) => ({
    PhoneNum: record.phone,
    OutId: record.outId,
    TemplateCode: record.templateCode,
    Content: record.text,
    SendStatus: record.sendStatus,
    SendDate: localTime(record.at),
    ...(record.sendStatus === 1 ? {} : { ErrCode: record.errCode }),
    ...(record.reportAt === undefined ? {} : { ReceiveDate: localTime(record.reportAt) }),
  }));
  return { TotalCount: rows.length, SmsSendDetailDTOs: { SmsSendDetailDTO: shown } };
}
