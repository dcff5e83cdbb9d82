/** A simulated JPush: push, cids and reports of one app. docs/channels/push-jpush.md names what is assumed. */
import { randomUUID } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import { isSame } from '../kit/is-same.ts';
import {
  commonDefaults,
  commonSettings,
  createProvider,
  type Provider,
  type ProviderCall,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import { checkPush, type CheckedPush } from './simulator-checks.ts';
import {
  answerReceived,
  answerStatus,
  errorBody,
  refused,
  type Pushed,
} from './simulator-reports.ts';

const SettingsSchema = Type.Object(
  {
    ...commonSettings,
    pushesPerMinute: Type.Integer({ minimum: 1, description: 'Calls of push and cid together.' }),
    reportsPerMinute: Type.Integer({ minimum: 1, description: 'Calls of the report API.' }),
    cidsPerCall: Type.Integer({
      minimum: 1,
      description: '10 for a free app, 1000 for a paying one.',
    }),
  },
  { additionalProperties: false },
);
type Settings = Static<typeof SettingsSchema>;

const defaults: Settings = {
  ...commonDefaults,
  pushesPerMinute: 600,
  reportsPerMinute: 2400,
  cidsPerCall: 10,
};

export interface PushJpushSimulatorOptions {
  /** The one app that it knows. */
  readonly appKey: string;
  readonly masterSecret: string;
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
}

export type PushJpushSimulator = Simulator & Provider<Settings>;

interface Quota {
  readonly isOver: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

const dayMs = 86_400_000;
const minuteMs = 60_000;
/** Beyond 2^53, as JPush's are. */
const firstMsgId = 18_103_083_292_000_000n;

/** Makes the provider. */
export function createPushJpushSimulator(options: PushJpushSimulatorOptions): PushJpushSimulator {
  const settings = { ...defaults, ...options.settings };
  const cids = new Map<string, { readonly sinceMs: number; reply?: string }>();
  const pushes = new Map<string, Pushed>();
  const buckets = new Map<string, { readonly minute: number; used: number }>();
  const provider: Provider<Settings> = createProvider({
    name: 'push-jpush',
    seed: options.seed ?? 1,
    settingsSchema: SettingsSchema,
    settings,
    describe: (call) => ({ action: actionOf(call), to: addressesOf(call) }),
    serve: (call, fault) => {
      const action = actionOf(call);
      const quota = admit(action);
      const reply = answer(action, call, { isDropped: fault?.kind === 'silent-drop', quota });
      return { ...reply, headers: { ...reply.headers, ...quota.headers } };
    },
    errorReply: ({ status = 503, code, message = 'internal timeout', headers }) => ({
      status,
      body: errorBody(Number(code ?? (status === 500 ? 1000 : 1030)), message),
      ...(headers !== undefined && { headers }),
    }),
    onReset: () => {
      for (const each of [cids, pushes, buckets]) each.clear();
    },
  });

  /** Counts the call; what is over the minute's quota is refused. */
  const admit = (action: string): Quota => {
    const { pushesPerMinute, reportsPerMinute } = provider.settings();
    const isReport = action === 'Received' || action === 'Status';
    const [name, limit] = isReport ? ['report', reportsPerMinute] : ['push', pushesPerMinute];
    const minute = Math.floor(provider.now() / minuteMs);
    const held = buckets.get(name);
    const bucket = held?.minute === minute ? held : { minute, used: 0 };
    buckets.set(name, bucket);
    bucket.used += 1;
    const resetMs = (minute + 1) * minuteMs - provider.now();
    return {
      isOver: bucket.used > limit,
      headers: {
        'x-rate-limit-limit': String(limit),
        'x-rate-limit-remaining': String(Math.max(limit - bucket.used, 0)),
        'x-rate-limit-reset': String(Math.ceil(resetMs / 1000)),
      },
    };
  };
  const answer = (
    action: string,
    call: ProviderCall,
    { isDropped, quota }: { readonly isDropped: boolean; readonly quota: Quota },
  ): ServedReply => {
    const isReport = action === 'Received' || action === 'Status';
    if (!isGenuine(call.headers['authorization'], options))
      return refused({
        status: 401,
        code: isReport ? 3001 : 1004,
        message: 'Basic authentication failed',
      });
    if (quota.isOver) return refused({ status: 429, code: 2002, message: 'Rate limit exceeded' });
    if (action === 'Cid') return giveCids(call);
    if (action === 'Push') return push(call, isDropped);
    const report = { pushes, device: provider.device, nowMs: provider.now() };
    if (action === 'Received') return answerReceived(call, report);
    if (action === 'Status') return answerStatus(call, report);
    return { status: 404, body: '', code: 'NotFound' };
  };

  const giveCids = (call: ProviderCall): ServedReply => {
    const count = Number(call.query.get('count') ?? '1');
    const type = call.query.get('type') ?? 'push';
    if (
      !Number.isInteger(count) ||
      count < 1 ||
      count > 1000 ||
      !['push', 'schedule'].includes(type)
    )
      return refused({ status: 400, code: 1003, message: 'The count or type is invalid!' });
    const cidlist = Array.from({ length: Math.min(count, provider.settings().cidsPerCall) }, () => {
      const cid = `${options.appKey}-${randomUUID()}`;
      cids.set(cid, { sinceMs: provider.now() });
      return cid;
    });
    return { status: 200, body: JSON.stringify({ cidlist }), code: 'OK' };
  };

  const push = (call: ProviderCall, isDropped: boolean): ServedReply => {
    if (!call.headers['content-type']?.startsWith('application/json'))
      return refused({ status: 400, code: 1002, message: 'Missing parameter' });
    const checked = checkPush(call.body.toString('utf8'));
    if ('code' in checked) return refused(checked);
    const known = checked.cid === undefined ? undefined : cids.get(checked.cid);
    if (checked.cid !== undefined) {
      if (known === undefined || provider.now() - known.sinceMs > dayMs)
        return refused({ status: 400, code: 1003, message: 'The cid is invalid or expired!' });
      // Pushed before: the first result again, and nothing else happens.
      if (known.reply !== undefined) return { status: 200, body: known.reply, code: 'OK' };
    }
    const msgId = take(checked, isDropped);
    const body = `{"sendno":"${checked.sendno}","msg_id":"${msgId}"}`;
    if (known !== undefined) known.reply = body;
    return { status: 200, body, code: 'OK' };
  };
  const take = ({ devices, ref, text }: CheckedPush, isDropped: boolean): string => {
    const msgId = String(firstMsgId + BigInt(pushes.size));
    pushes.set(msgId, { ref, devices, atMs: provider.now() });
    for (const to of devices) {
      const entry = { at: Date.now(), to, ref, text };
      provider.accepted.add({ ...entry, providerId: msgId });
      if (!isDropped) provider.device.add({ ...entry, shown: 1, isGone: false });
    }
    return msgId;
  };

  return { ...provider, close: async () => undefined };
}

function actionOf({ method, path }: ProviderCall): string {
  const actions: Readonly<Record<string, string>> = {
    'GET /v3/push/cid': 'Cid',
    'POST /v3/push': 'Push',
    'GET /v3/received/detail': 'Received',
    'POST /v3/status/message': 'Status',
  };
  return actions[`${method} ${path}`] ?? 'Unknown';
}

const ToSchema = Type.Object({
  audience: Type.Object({ registration_id: Type.Array(Type.String()) }),
});

function addressesOf({ body }: ProviderCall): readonly string[] {
  const push = parseJson(body.toString('utf8'));
  return Check(ToSchema, push) ? push.audience.registration_id : [];
}

function isGenuine(
  authorization: string | undefined,
  { appKey, masterSecret }: PushJpushSimulatorOptions,
): boolean {
  const wanted = `Basic ${Buffer.from(`${appKey}:${masterSecret}`).toString('base64')}`;
  return isSame(authorization ?? '', wanted);
}
