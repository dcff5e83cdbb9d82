/**
 * The simulated FCM: token endpoint, messages:send, a quota by the minute, and devices on which a tag replaces itself.
 * It never accepts what production refuses; docs/channels/push-fcm.md says what is assumed.
 */
import { randomBytes } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { parseJson } from '../kit/answers.ts';
import { controlRoute } from '../sandbox/control.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import {
  commonDefaults,
  commonSettings,
  createProvider,
  type Provider,
  type ProviderCall,
  type SeenMessage,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import {
  fcmError,
  grantFault,
  isReply,
  readRequest,
  refuse,
  type FcmMessage,
} from './simulator-checks.ts';

const SettingsSchema = Type.Object({
  ...commonSettings,
  perMinute: Type.Integer({ minimum: 1, description: 'Calls of the project in a minute.' }),
  tokenLifeSeconds: Type.Integer({ minimum: 1, description: 'Simulated life of an access token.' }),
});
type Settings = Static<typeof SettingsSchema>;

const defaults: Settings = { ...commonDefaults, perMinute: 600_000, tokenLifeSeconds: 3599 };

export interface PushFcmSimulatorOptions {
  /** Same seed, same draws. Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
  readonly projectId?: string;
  /** Client e-mail → public key (PEM). */
  readonly serviceAccounts?: Readonly<Record<string, string>>;
}

export interface PushFcmSimulator extends Simulator, Provider<Settings> {
  readonly handle: Provider<Settings>['handle'];
  /** Makes every token that was given out unknown. */
  readonly revokeTokens: () => void;
  /** How many tokens were given out. */
  readonly tokensGiven: () => number;
}

/** Registration tokens that mean something. */
const magicTokens: Readonly<Record<string, () => ServedReply>> = {
  'sandbox-unregistered': () =>
    refuse(404, 'NOT_FOUND', {
      message: 'Requested entity was not found.',
      details: [fcmError('UNREGISTERED')],
    }),
  'sandbox-invalid-token': () => invalidToken(),
  'sandbox-bad-request': () =>
    refuse(400, 'INVALID_ARGUMENT', {
      message: "Invalid value at 'message.data[0].value' (TYPE_STRING), 12",
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [{ field: 'message.data[0].value', description: 'not a string' }],
        },
      ],
    }),
  'sandbox-sender-mismatch': () =>
    refuse(403, 'PERMISSION_DENIED', {
      message: 'SenderId mismatch',
      details: [fcmError('SENDER_ID_MISMATCH')],
    }),
  'sandbox-permission-denied': () => noPermission(),
  'sandbox-third-party-auth': () =>
    refuse(401, 'UNAUTHENTICATED', {
      message: 'Auth error from APNS or Web Push Service',
      details: [fcmError('THIRD_PARTY_AUTH_ERROR')],
    }),
  'sandbox-device-quota': () =>
    refuse(429, 'RESOURCE_EXHAUSTED', {
      message: 'Device message rate exceeded.',
      details: [
        fcmError('QUOTA_EXCEEDED'),
        {
          '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
          violations: [{ subject: 'device', description: 'Device message rate exceeded' }],
        },
      ],
      headers: { 'retry-after': '30' },
    }),
};

const invalidToken = () =>
  refuse(400, 'INVALID_ARGUMENT', {
    message: 'The registration token is not a valid FCM registration token',
    details: [fcmError('INVALID_ARGUMENT')],
  });
const noPermission = () =>
  refuse(403, 'PERMISSION_DENIED', {
    message: "Permission 'cloudmessaging.messages.create' denied on resource.",
  });

/** Makes a provider that lives in memory. */
export function createPushFcmSimulator(options: PushFcmSimulatorOptions = {}): PushFcmSimulator {
  const { seed = 1, projectId = 'sandbox', serviceAccounts = {} } = options;
  const expiry = new Map<string, number>();
  const shown = new Map<string, SeenMessage>();
  let minute = { startMs: -Infinity, calls: 0 };
  let tokensGiven = 0;
  let serial = 0;
  const revokeTokens = () => expiry.clear();

  const giveToken = (call: ProviderCall): ServedReply => {
    const { body, headers, method } = call;
    if (method !== 'POST' || headers['content-type'] !== 'application/x-www-form-urlencoded')
      return { status: 400, code: 'invalid_request', body: '{"error":"invalid_request"}' };
    const fault = grantFault(new URLSearchParams(body.toString('utf8')), {
      serviceAccounts,
      nowMs: Date.now(),
      host: headers['host'] ?? '',
    });
    if (fault !== undefined) return fault;
    const { tokenLifeSeconds } = provider.settings();
    const token = `ya29.${randomBytes(24).toString('base64url')}`;
    expiry.set(token, provider.now() + tokenLifeSeconds * 1000);
    tokensGiven += 1;
    const answer = { access_token: token, expires_in: tokenLifeSeconds, token_type: 'Bearer' };
    return { status: 200, code: 'OK', body: JSON.stringify(answer) };
  };

  /** The quota counts from its first call, not by the clock. */
  const quotaFault = (): ServedReply | undefined => {
    const { perMinute, clockScale } = provider.settings();
    const now = provider.now();
    if (now - minute.startMs >= 60_000) minute = { startMs: now, calls: 0 };
    if (minute.calls < perMinute) return undefined;
    const waitSeconds = Math.ceil((minute.startMs + 60_000 - now) / 1000 / clockScale);
    return refuse(429, 'RESOURCE_EXHAUSTED', {
      message: 'Quota exceeded for the project.',
      details: [fcmError('QUOTA_EXCEEDED')],
      headers: { 'retry-after': String(Math.max(waitSeconds, 1)) },
    });
  };

  const isStale = ({ headers }: ProviderCall): boolean => {
    const [, token = ''] = /^Bearer (\S+)$/.exec(headers['authorization'] ?? '') ?? [];
    return (expiry.get(token) ?? 0) <= provider.now();
  };
  const admissionFault = (call: ProviderCall): ServedReply | undefined => {
    const { headers, method, path } = call;
    if (isStale(call))
      return refuse(401, 'UNAUTHENTICATED', {
        message: 'Request had invalid authentication credentials.',
      });
    const [, project] = /^\/v1\/projects\/([^/]+)\/messages:send$/.exec(path) ?? [];
    if (method !== 'POST' || project === undefined)
      return refuse(404, 'NOT_FOUND', { message: 'Method not found.' });
    if (project !== projectId) return noPermission();
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      return refuse(400, 'INVALID_ARGUMENT', { message: 'Content-Type is not JSON.' });
    return undefined;
  };

  /** A call with a stale token has an action of its own, so that it uses up no fault that is meant for a message. */
  const describe = (call: ProviderCall): { action: string; to: readonly string[] } => {
    if (call.path === '/token') return { action: 'Token', to: [] };
    const body = parseJson(call.body.toString('utf8')) as
      { message?: { token?: unknown } } | undefined;
    const token = body?.message?.token;
    const to = typeof token === 'string' ? [token] : [];
    return { action: isStale(call) ? 'Stale' : 'Send', to };
  };

  const take = (message: FcmMessage, fault: FaultRule | undefined): ServedReply => {
    const { token = '', data = {}, notification = {}, android } = message;
    serial += 1;
    const name = `projects/${projectId}/messages/0:${Date.now()}${serial}%${seed}`;
    const entry = {
      at: Date.now(),
      to: token,
      ref: data['mcRef'] ?? '',
      text: [notification.title, notification.body].filter(Boolean).join('\n'),
    };
    provider.accepted.add({ ...entry, providerId: name });
    if (fault?.kind !== 'silent-drop') show(entry, android?.notification?.tag);
    return { status: 200, code: 'OK', body: JSON.stringify({ name }) };
  };
  /** A notification replaces the one of the same tag; without a tag it stands beside the others. */
  const show = (entry: Omit<SeenMessage, 'shown' | 'isGone'>, tag: string | undefined) => {
    const place = `${entry.to} ${tag}`;
    const before = tag === undefined ? undefined : shown.get(place);
    if (before !== undefined && before.ref === entry.ref) {
      before.text = entry.text;
      before.shown += 1;
      return;
    }
    if (before !== undefined) before.isGone = true;
    const seen: SeenMessage = { ...entry, shown: 1, isGone: false };
    if (tag !== undefined) shown.set(place, seen);
    provider.device.add(seen);
  };

  const send = (call: ProviderCall, fault: FaultRule | undefined): ServedReply => {
    const refusal = admissionFault(call);
    if (refusal !== undefined) return refusal;
    const request = readRequest(call.body.toString('utf8'));
    if (isReply(request)) return request;
    const { message, validate_only: isCheckOnly = false } = request;
    const magic = magicTokens[message.token ?? ''];
    if (magic !== undefined) return magic();
    if (message.token !== undefined && !/^[A-Za-z0-9:_-]{8,}$/.test(message.token))
      return invalidToken();
    if (!isCheckOnly) return take(message, fault);
    const name = `projects/${projectId}/messages/fake_message_id`;
    return { status: 200, code: 'OK', body: JSON.stringify({ name }) };
  };

  const provider: Provider<Settings> = createProvider({
    name: 'push-fcm',
    seed,
    settingsSchema: SettingsSchema,
    settings: { ...defaults, ...options.settings },
    describe,
    serve: (call, fault) => {
      if (call.path === '/token') return giveToken(call);
      const over = quotaFault();
      if (over !== undefined) return over;
      const reply = send(call, fault);
      // Refusals use up the quota too.
      if (reply.status !== 429 && reply.status < 500) minute.calls += 1;
      return reply;
    },
    errorReply: ({
      status = 503,
      code,
      message = 'The service is currently unavailable.',
      headers,
    }) =>
      refuse(status, code ?? (status === 503 ? 'UNAVAILABLE' : 'INTERNAL'), {
        message,
        ...(headers && { headers }),
      }),
    onReset: () => {
      minute = { startMs: -Infinity, calls: 0 };
      shown.clear();
    },
    routes: [
      controlRoute({ method: 'POST', path: '/push-fcm/tokens/revoke', handle: revokeTokens }),
    ],
  });
  return {
    ...provider,
    revokeTokens,
    tokensGiven: () => tokensGiven,
    close: async () => undefined,
  };
}
