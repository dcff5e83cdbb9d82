/**
 * The simulated Huawei Push Kit (scenario-specific API v3): notifications that replace each other by notifyId, partial
 * success, revocation, signed receipts. It never accepts what production refuses; docs/channels/push-huawei.md says
 * what is assumed.
 */
import { Type, type Static } from 'typebox';
import { parseJson } from '../kit/answers.ts';
import { controlRoute } from '../sandbox/control.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import {
  commonDefaults,
  commonSettings,
  createProvider,
  receiptDefaults,
  receiptSettings,
  type Provider,
  type ProviderCall,
  type SeenMessage,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { ReceiptCounts } from '../sandbox/receipt-pusher.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import {
  expired,
  isReply,
  jwtFault,
  notAuthentic,
  readRevoke,
  readSend,
  refuse,
  type KnownAccount,
  type SendBody,
} from './simulator-checks.ts';
import { createHuaweiReceipts } from './simulator-receipts.ts';

const SettingsSchema = Type.Object({ ...commonSettings, ...receiptSettings });
type Settings = Static<typeof SettingsSchema>;

const defaults: Settings = { ...commonDefaults, ...receiptDefaults };

export interface PushHuaweiSimulatorOptions {
  /** Same seed, same draws. Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
  readonly projectId?: string;
  readonly clientId?: string;
  /** Key id → who signs with it. */
  readonly serviceAccounts?: Readonly<Record<string, KnownAccount>>;
  readonly callbackUser?: string;
  /** Base64. */
  readonly callbackKey?: string;
}

export interface PushHuaweiSimulator extends Simulator, Provider<Settings> {
  readonly handle: Provider<Settings>['handle'];
  /** Makes every token that was used so far count as expired. */
  readonly revokeTokens: () => void;
  /** How many different good tokens were used. */
  readonly tokensSeen: () => number;
  readonly receiptCounts: () => ReceiptCounts;
}

/** Tokens that the API refuses, and why. */
const refusedTokens: Readonly<Record<string, string>> = {
  'sandbox-bad-token': 'tokenFormatError',
  'sandbox-no-right': 'noRight',
  'sandbox-no-push-type-right': 'noPushTypeRight',
  'sandbox-wrong-country': 'countryNotSupport',
  'sandbox-penalty': 'disableSendHuaweiMsgBecauseOfPenalty',
};
/** Tokens whose device reports something else than success; undefined: nothing, ever. */
const deviceResults: Readonly<Record<string, number | undefined>> = {
  'sandbox-uninstalled': 2,
  'sandbox-token-mismatch': 5,
  'sandbox-muted': 6,
  'sandbox-inactive': 10,
  'sandbox-capped': 256,
  'sandbox-violation': 259,
  'sandbox-no-receipt': undefined,
};

/** Makes a provider that lives in memory. */
export function createPushHuaweiSimulator(
  options: PushHuaweiSimulatorOptions = {},
): PushHuaweiSimulator {
  const { seed = 1, projectId = 'sandbox', clientId = 'sandbox', serviceAccounts = {} } = options;
  const shown = new Map<string, SeenMessage>();
  const used = new Set<string>();
  let stale = new Set<string>();
  let serial = 0;
  const revokeTokens = () => {
    stale = new Set(used);
  };

  /** Who calls, and whether it is one of the two calls there are. */
  const admissionFault = (call: ProviderCall): ServedReply | undefined => {
    const { headers, method, path } = call;
    const jwt = bearerOf(call);
    const fault = jwtFault(jwt, serviceAccounts, Date.now());
    if (fault !== undefined) return fault;
    used.add(jwt);
    if (stale.has(jwt)) return expired();
    const [, version, id, action] = /^\/(v\d)\/([^/]+)\/messages:(\w+)$/.exec(path) ?? [];
    const owners: Readonly<Record<string, string>> = {
      'v3 send': projectId,
      'v1 revoke': clientId,
    };
    const wanted = owners[`${version} ${action}`];
    if (method !== 'POST' || wanted === undefined) return refuse(404, '404', 'Not found.');
    if (id !== wanted) return notAuthentic();
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      return refuse(400, '80100001', 'Content-Type is not JSON.');
    if (headers['push-type'] !== '0') return refuse(400, '80100001', 'Illegal push-type.');
    return undefined;
  };

  /** A call with a stale token has an action of its own, so that it uses up no fault that is meant for a message. */
  const describe = (call: ProviderCall): { action: string; to: readonly string[] } => {
    const body = parseJson(call.body.toString('utf8')) as
      { target?: { token?: unknown }; token?: unknown } | undefined;
    const tokens = [body?.target?.token ?? body?.token ?? []].flat();
    const to = tokens.filter((token) => typeof token === 'string');
    if (stale.has(bearerOf(call))) return { action: 'Stale', to };
    return { action: call.path.endsWith(':revoke') ? 'Revoke' : 'Send', to };
  };

  const take = async (
    body: SendBody,
    taken: readonly string[],
    call: { readonly requestId: string; readonly fault: FaultRule | undefined },
  ): Promise<void> => {
    const { title, body: text, notifyId } = body.payload.notification;
    const { requestId, fault } = call;
    const biTag = body.pushOptions?.biTag ?? '';
    for (const token of taken) {
      const entry = { at: Date.now(), to: token, ref: biTag, text: `${title}\n${text}` };
      provider.accepted.add({ ...entry, providerId: requestId });
      if (fault?.kind === 'silent-drop') continue;
      const result = Object.hasOwn(deviceResults, token) ? deviceResults[token] : 0;
      if (result === 0 || result === undefined) show(entry, notifyId ?? -1);
      if (result === undefined) continue;
      const report = { token, biTag, requestId, result, timestamp: Date.now() };
      if (fault?.kind === 'receipt-first') await receipts.pushFirst(report);
      else receipts.schedule(report);
    }
  };
  /** A notification replaces the one of the same id; -1 stands beside the others. */
  const show = (entry: Omit<SeenMessage, 'shown' | 'isGone'>, notifyId: number) => {
    const place = `${entry.to} ${notifyId}`;
    const before = shown.get(place);
    if (before !== undefined && before.ref === entry.ref) {
      before.text = entry.text;
      before.shown += 1;
      return;
    }
    if (before !== undefined) before.isGone = true;
    const seen: SeenMessage = { ...entry, shown: 1, isGone: false };
    if (notifyId !== -1) shown.set(place, seen);
    provider.device.add(seen);
  };

  const send = async (text: string, fault: FaultRule | undefined): Promise<ServedReply> => {
    const body = readSend(text);
    if (isReply(body)) return body;
    const tokens = body.target.token;
    const refused = tokens.flatMap((token) => {
      const reason = reasonOf(token);
      return reason === undefined ? [] : [{ token, reason }];
    });
    const illegalTokens: Record<string, string[]> = {};
    for (const { token, reason } of refused) (illegalTokens[reason] ??= []).push(token);
    if (refused.length === tokens.length)
      return refuse(400, '80300007', JSON.stringify({ illegalTokens }));
    serial += 1;
    const requestId = `${Date.now()}${String(serial).padStart(10, '0')}`;
    const taken = tokens.filter((token) => reasonOf(token) === undefined);
    await take(body, taken, { requestId, fault });
    if (refused.length === 0) return success(requestId);
    const msg = { illegalTokens, success: taken.length, failure: refused.length };
    const answer = { code: '80100000', msg: JSON.stringify(msg), requestId };
    return { status: 200, code: 'OK', body: JSON.stringify(answer) };
  };
  const revoke = (text: string): ServedReply => {
    const body = readRevoke(text);
    if (isReply(body)) return body;
    if (body.token.every((token) => reasonOf(token) !== undefined))
      return refuse(400, '80300007', 'All the tokens are invalid.');
    for (const token of body.token) {
      const seen = shown.get(`${token} ${body.notifyId}`);
      if (seen !== undefined) seen.isGone = true;
      shown.delete(`${token} ${body.notifyId}`);
    }
    return success(String(Date.now()));
  };

  const provider: Provider<Settings> = createProvider({
    name: 'push-huawei',
    seed,
    settingsSchema: SettingsSchema,
    settings: { ...defaults, ...options.settings },
    describe,
    serve: (call, fault) => {
      const refusal = admissionFault(call);
      if (refusal !== undefined) return refusal;
      const text = call.body.toString('utf8');
      return call.path.endsWith(':send') ? send(text, fault) : revoke(text);
    },
    errorReply: ({ status = 503, code, message = 'Inner Error.', headers = {} }) => ({
      ...refuse(status, code ?? (status === 503 ? '503' : '81000001'), message),
      headers,
    }),
    onReset: () => {
      shown.clear();
      receipts.clear();
    },
    routes: [
      controlRoute({ method: 'POST', path: '/push-huawei/tokens/revoke', handle: revokeTokens }),
      controlRoute({
        method: 'GET',
        path: '/push-huawei/receipts',
        handle: () => receipts.counts(),
      }),
    ],
  });
  const receipts = createHuaweiReceipts({
    random: provider.random,
    callback: { user: options.callbackUser ?? '', key: options.callbackKey ?? '' },
    settings: () => provider.settings(),
  });
  return {
    ...provider,
    revokeTokens,
    tokensSeen: () => used.size,
    receiptCounts: receipts.counts,
    close: receipts.close,
  };
}

const bearerOf = ({ headers }: ProviderCall): string =>
  /^Bearer (\S+)$/.exec(headers['authorization'] ?? '')?.[1] ?? '';

const success = (requestId: string): ServedReply => ({
  status: 200,
  code: 'OK',
  body: JSON.stringify({ code: '80000000', msg: 'Success', requestId }),
});

/** Assumed: real tokens are longer than this, and of these characters. */
function reasonOf(token: string): string | undefined {
  if (Object.hasOwn(refusedTokens, token)) return refusedTokens[token];
  return /^[A-Za-z0-9_+/=-]{12,}$/.test(token) ? undefined : 'tokenFormatError';
}
