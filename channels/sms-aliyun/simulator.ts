/**
 * The simulated Alibaba Cloud SMS: signature, limits, books and receipts as documented, and faults on demand. It never
 * accepts what production refuses; where the documents are silent, a constant in simulator-settings.ts says so.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createFaultPlan, type FaultPlan, type FaultRule } from '../sandbox/faults.ts';
import { readBody } from '../sandbox/http-listener.ts';
import { playAnswer, playInstead, type ProviderReply } from '../sandbox/play-fault.ts';
import { createRandom, drawLatencyMs } from '../sandbox/random.ts';
import type { ReceiptCounts } from '../sandbox/receipt-pusher.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import { createBooks, querySendDetails, type Books, type SmsRecord } from './simulator-books.ts';
import { controlRoutes } from './simulator-control.ts';
import { readSendBatchSms, readSendSms, type Draft } from './simulator-desk.ts';
import { createGateway, isRefusal, refuse, type Refusal } from './simulator-gateway.ts';
import { createNumberWindows } from './simulator-limits.ts';
import { createSmsReceipts, type SmsReply } from './simulator-receipts.ts';
import {
  defaultSimulatorSettings,
  smsUnits,
  type SimulatorSettings,
  type TemplateRegistration,
} from './simulator-settings.ts';

export interface SmsAliyunSimulatorOptions {
  /** Same seed, same draws. Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<SimulatorSettings>;
  /** AccessKey id → secret. */
  readonly credentials?: Readonly<Record<string, string>>;
  readonly signatures?: readonly string[];
  readonly templates?: readonly TemplateRegistration[];
}

export interface SmsAliyunSimulator extends Simulator, Books {
  readonly faults: FaultPlan;
  settings(): SimulatorSettings;
  configure(change: Partial<SimulatorSettings>): SimulatorSettings;
  registerTemplate(template: TemplateRegistration): void;
  registerSignature(signName: string): void;
  registerCredential(accessKeyId: string, accessKeySecret: string): void;
  revokeCredential(accessKeyId: string): void;
  /** What receipts to a number say from now on: a code, `never`, or null for the usual. */
  setReceiptCode(phone: string, code: string | null): void;
  readonly receiptCounts: () => ReceiptCounts;
  /** A person answers a message: pushed to `receiptUrl` as SmsUp. Without an address it is forgotten. */
  reply(reply: SmsReply): void;
}

const maxRequestBytes = 1024 * 1024;

/** Makes a provider that lives in memory; mount its `handle` on a port of its own or under a path. */
export function createSmsAliyunSimulator(
  options: SmsAliyunSimulatorOptions = {},
): SmsAliyunSimulator {
  const random = createRandom(options.seed ?? 1);
  let initial: SimulatorSettings = { ...defaultSimulatorSettings, ...options.settings };
  let settings: SimulatorSettings = initial;
  let serial = 0n;
  const books = createBooks();
  const faults = createFaultPlan(random);
  const credentials = new Map(Object.entries(options.credentials ?? {}));
  const signatures = new Set(options.signatures);
  const templates = new Map(options.templates?.map((each) => [each.templateCode, each]));
  const windows = createNumberWindows(Date.now);
  const receipts = createSmsReceipts({ random, settings: () => settings });
  const gateway = createGateway({
    secretOf: (id) => credentials.get(id),
    qps: () => settings.qps,
    now: Date.now,
  });

  const accept = async (
    drafts: readonly Draft[],
    outId: string,
    fault: FaultRule | undefined,
  ): Promise<Record<string, unknown> | Refusal> => {
    const limit = windows.refusal(drafts, settings);
    if (limit !== undefined) return refuse(200, 'isv.BUSINESS_LIMIT_CONTROL', limit);
    const units = drafts.reduce((sum, draft) => sum + smsUnits(draft.text), 0);
    if (settings.balance !== null && settings.balance < units)
      return refuse(200, 'isv.AMOUNT_NOT_ENOUGH', '账户余额不足');
    if (settings.balance !== null) settings = { ...settings, balance: settings.balance - units };
    windows.record(drafts, settings);
    serial += 1n;
    const bizId = `${900_619_746_936_498_400n + serial}^0`;
    for (const draft of drafts) {
      const record = toRecord(draft, { outId, bizId });
      books.accepted.add(record);
      if (fault?.kind === 'silent-drop') continue;
      if (receipts.willArrive(record.phone)) {
        const { at, phone, text, templateCode } = record;
        books.device.add({ at, phone, text, outId, bizId, templateCode });
      }
      if (fault?.kind === 'receipt-first') await receipts.pushFirst(record);
      else receipts.schedule(record);
    }
    return { BizId: bizId };
  };

  const perform = (
    action: string,
    params: Readonly<Record<string, string>>,
    fault: FaultRule | undefined,
  ): Promise<Record<string, unknown> | Refusal> | Record<string, unknown> | Refusal => {
    switch (action) {
      case 'SendSms':
      case 'SendBatchSms': {
        const read = action === 'SendSms' ? readSendSms : readSendBatchSms;
        const drafts = read(params, { signatures, templates });
        return isRefusal(drafts) ? drafts : accept(drafts, params['OutId'] ?? '', fault);
      }
      case 'QuerySendDetails':
        return querySendDetails(params, books);
      default:
        return refuse(404, 'InvalidAction.NotFound', 'Specified api is not found.');
    }
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request, maxRequestBytes);
    const { method = 'GET', url = '/', headers } = request;
    const call = gateway.admit({ method, url, headers, body });
    const at = Date.now();
    const note = (action: string, code: string, numbers: number) =>
      books.calls.add({ at, action, code, numbers });
    if (isRefusal(call)) {
      note([headers['x-acs-action'] ?? ''].flat().join(), call.code, 0);
      return reply(response, call);
    }
    const phones = phonesOf(call.params);
    const fault = faults.take({ action: call.action, to: phones });
    const delayMs = drawLatencyMs(
      { medianMs: settings.latencyMedianMs, p99Ms: settings.latencyP99Ms },
      random,
    );
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (fault !== undefined && playInstead(fault, response, errorReply(fault))) {
      note(call.action, fault.kind, phones.length);
      return;
    }
    const result = await perform(call.action, call.params, fault);
    note(call.action, isRefusal(result) ? result.code : 'OK', phones.length);
    if (isRefusal(result)) return reply(response, result);
    const text = JSON.stringify({ Code: 'OK', Message: 'OK', RequestId: requestId(), ...result });
    playAnswer(fault, response, {
      reply: { status: 200, body: text },
      error: errorReply(fault ?? { kind: 'error' }),
    });
  };

  const simulator: SmsAliyunSimulator = {
    ...books,
    name: 'sms-aliyun',
    faults,
    handle: (request, response) => {
      // The client went away in the middle, or sent too much: there is nobody to answer.
      answer(request, response).catch(() => response.destroy());
    },
    shown: (limit) =>
      books.device.find({ limit }).entries.map(({ at, phone, text }) => ({ at, to: phone, text })),
    settings: () => settings,
    configure: (change) => (settings = { ...settings, ...change }),
    pushReceiptsTo: ({ 'sms-aliyun': receiptUrl }) => {
      if (receiptUrl === undefined) return;
      initial = { ...initial, receiptUrl };
      settings = { ...settings, receiptUrl };
    },
    registerTemplate: (template) => void templates.set(template.templateCode, template),
    registerSignature: (signName) => void signatures.add(signName),
    registerCredential: (id, secret) => void credentials.set(id, secret),
    revokeCredential: (id) => void credentials.delete(id),
    setReceiptCode: receipts.setCode,
    receiptCounts: receipts.counts,
    reply: receipts.pushReply,
    reset: () => {
      settings = initial;
      faults.clear();
      windows.clear();
      gateway.clear();
      receipts.clear();
      for (const ledger of [books.accepted, books.device, books.calls]) ledger.clear();
    },
    close: receipts.close,
    get routes() {
      return controlRoutes(simulator);
    },
  };
  return simulator;
}

function toRecord(draft: Draft, ids: { outId: string; bizId: string }): SmsRecord {
  return {
    at: Date.now(),
    phone: draft.phone,
    text: draft.text,
    ...ids,
    templateCode: draft.template.templateCode,
    smsSize: smsUnits(draft.text),
    sendStatus: 1,
    errCode: '',
    reportAt: undefined,
  };
}

function phonesOf(params: Readonly<Record<string, string>>): readonly string[] {
  const text = params['PhoneNumbers'] ?? params['PhoneNumber'] ?? params['PhoneNumberJson'] ?? '';
  return text.match(/[0-9]{5,}/g) ?? [];
}

/** The gateway's word for a failure of its own, or what the rule says. */
function errorReply(fault: FaultRule): ProviderReply {
  const { status = 503, code = 'ServiceUnavailable', headers = {} } = fault;
  const message = fault.message ?? 'The request has failed due to a temporary failure.';
  const body = JSON.stringify({ Code: code, Message: message, RequestId: 'FAULT' });
  return { status, headers, body };
}

const requestId = () => randomUUID().toUpperCase();

function reply(response: ServerResponse, refusal: Refusal): void {
  const { status, code, message, headers = {} } = refusal;
  response
    .writeHead(status, { 'content-type': 'application/json;charset=utf-8', ...headers })
    .end(JSON.stringify({ Code: code, Message: message, RequestId: requestId() }));
}
