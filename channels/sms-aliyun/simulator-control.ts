/** The control API of the simulated provider; docs/channels/sandbox.md lists it. */
import { Type } from 'typebox';
import {
  ControlFault,
  controlRoute,
  wholeParameter,
  type ControlRoute,
} from '../sandbox/control.ts';
import { FaultRuleSchema } from '../sandbox/faults.ts';
import { ledgerRoute } from '../sandbox/simulator.ts';
import { SimulatorSettingsSchema, TemplateRegistrationSchema } from './simulator-settings.ts';
import type { SmsAliyunSimulator } from './simulator.ts';

const base = '/sms-aliyun';
const messageKeys = ['phone', 'outId', 'templateCode'] as const;

/** Routes over one simulator. */
export function controlRoutes(simulator: SmsAliyunSimulator): readonly ControlRoute[] {
  const { accepted, device, calls, faults } = simulator;
  return [
    ledgerRoute(`${base}/accepted`, accepted, messageKeys),
    ledgerRoute(`${base}/device`, device, messageKeys),
    ledgerRoute(`${base}/calls`, calls, ['action', 'code']),
    controlRoute({
      method: 'GET',
      path: `${base}/calls/per-second`,
      handle: ({ query }) => callsPerSecond(simulator, query),
    }),
    controlRoute({ method: 'GET', path: `${base}/summary`, handle: () => summary(simulator) }),
    controlRoute({
      method: 'GET',
      path: `${base}/duplicates`,
      handle: () => device.repeated('outId').map(({ value, count }) => ({ outId: value, count })),
    }),
    controlRoute({ method: 'GET', path: `${base}/settings`, handle: () => simulator.settings() }),
    controlRoute({
      method: 'PUT',
      path: `${base}/settings`,
      body: Type.Partial(SimulatorSettingsSchema, { additionalProperties: false }),
      handle: ({ body }) => simulator.configure(body),
    }),
    controlRoute({ method: 'GET', path: `${base}/faults`, handle: () => faults.list() }),
    controlRoute({
      method: 'POST',
      path: `${base}/faults`,
      body: FaultRuleSchema,
      handle: ({ body }) => ({ id: faults.add(body) }),
    }),
    controlRoute({
      method: 'DELETE',
      path: `${base}/faults`,
      handle: ({ query }) => {
        const id = wholeParameter(query, 'id');
        if (id === undefined) faults.clear();
        else if (!faults.remove(id)) throw new ControlFault(`there is no fault ${id}`);
      },
    }),
    controlRoute({
      method: 'POST',
      path: `${base}/templates`,
      body: TemplateRegistrationSchema,
      handle: ({ body }) => simulator.registerTemplate(body),
    }),
    controlRoute({
      method: 'POST',
      path: `${base}/signatures`,
      body: Type.Object(
        { signName: Type.String({ minLength: 1 }) },
        { additionalProperties: false },
      ),
      handle: ({ body }) => simulator.registerSignature(body.signName),
    }),
    controlRoute({
      method: 'POST',
      path: `${base}/credentials`,
      body: Type.Object(
        { accessKeyId: Type.String(), accessKeySecret: Type.Union([Type.String(), Type.Null()]) },
        { additionalProperties: false },
      ),
      handle: ({ body }) => {
        const { accessKeyId, accessKeySecret } = body;
        if (accessKeySecret === null) simulator.revokeCredential(accessKeyId);
        else simulator.registerCredential(accessKeyId, accessKeySecret);
      },
    }),
    controlRoute({
      method: 'PUT',
      path: `${base}/receipt-codes`,
      body: Type.Object(
        { phone: Type.String(), code: Type.Union([Type.String(), Type.Null()]) },
        { additionalProperties: false },
      ),
      handle: ({ body }) => simulator.setReceiptCode(body.phone, body.code),
    }),
    controlRoute({
      method: 'POST',
      path: `${base}/replies`,
      body: Type.Object(
        { phone: Type.String({ pattern: '^[0-9]{7,15}$' }), content: Type.String() },
        { additionalProperties: false },
      ),
      handle: ({ body }) => {
        if (simulator.settings().receiptUrl === null)
          throw new ControlFault('nobody takes replies: the setting receiptUrl is null');
        simulator.reply(body);
      },
    }),
    controlRoute({ method: 'POST', path: `${base}/reset`, handle: () => simulator.reset() }),
  ];
}

function summary({ accepted, device, calls, receiptCounts }: SmsAliyunSimulator) {
  return {
    accepted: accepted.total(),
    acceptedOutIds: accepted.distinct('outId'),
    device: device.total(),
    deviceOutIds: device.distinct('outId'),
    calls: calls.total(),
    receipts: receiptCounts(),
  };
}

/** Calls by second of arrival, oldest first; seconds without calls are left out. */
function callsPerSecond({ calls }: SmsAliyunSimulator, query: URLSearchParams) {
  const action = query.get('action') ?? 'SendSms';
  const sinceMs = wholeParameter(query, 'sinceMs') ?? 0;
  const counts = new Map<number, number>();
  for (const { at } of calls.find({ where: { action }, sinceMs, limit: Infinity, order: 'oldest' })
    .entries) {
    const second = Math.floor(at / 1000);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return [...counts].map(([second, count]) => ({ second, count }));
}
