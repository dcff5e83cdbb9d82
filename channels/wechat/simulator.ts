/**
 * The simulated WeChat: tokens, the three ways to send, quotas, followers, subscriptions, and encrypted pushes. It never
 * takes what production refuses; what the documents do not say is listed in docs/channels/wechat.md.
 */
import { randomBytes } from 'node:crypto';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import { ControlFault, controlRoute, type ControlRoute } from '../sandbox/control.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import {
  createProvider,
  type Provider,
  type ProviderCall,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { ReceiptCounts } from '../sandbox/receipt-pusher.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import {
  isRefusal,
  isSendPath,
  readMessage,
  refuse,
  sendPaths,
  type Draft,
  type Refusal,
} from './simulator-checks.ts';
import { createLimits, type SetGrant } from './simulator-limits.ts';
import { createWechatPushes, type EventFields } from './simulator-pushes.ts';
import {
  defaultSettings,
  fateOf,
  relations,
  SettingsSchema,
  type AppEntry,
  type Relation,
  type WechatSimulatorSettings,
} from './simulator-settings.ts';
import { createTokenDesk, type TokenDesk } from './simulator-tokens.ts';

export interface WechatSimulatorOptions {
  /** Same seed, same draws (tokens aside). Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<WechatSimulatorSettings>;
  readonly apps?: readonly AppEntry[];
}

export interface WechatSimulator
  extends Simulator, Omit<Provider<WechatSimulatorSettings>, 'handle'> {
  readonly tokens: Pick<TokenDesk, 'revoke' | 'given'>;
  readonly receiptCounts: () => ReceiptCounts;
  /** What a person is to an account from now on. */
  setRelation(appId: string, openid: string, relation: Relation): void;
  /** How many more messages of a subscription template the person takes. */
  setGrants(grant: SetGrant): void;
  /** Pushes an event of a person. Errors: an unknown AppID. */
  tell(push: { appId: string; openid: string; event: string; fields?: EventFields }): void;
}

const TokenBodySchema = Type.Object({
  grant_type: Type.Literal('client_credential'),
  appid: Type.String(),
  secret: Type.String(),
  force_refresh: Type.Optional(Type.Boolean()),
});
const QuotaBodySchema = Type.Object({ cgi_path: Type.String() });
const firstMsgId = 3_557_254_367_693_750_277n;

/** Makes a provider that lives in memory; mount its `handle` on a port of its own or under a path. */
export function createWechatSimulator(options: WechatSimulatorOptions = {}): WechatSimulator {
  const apps = options.apps ?? [];
  const now = () => provider.now();
  const settings = () => provider.settings();
  const desk = createTokenDesk({ now, lifeMs: () => settings().tokenLifeSeconds * 1000 });
  const limits = createLimits({ now, settings });
  let serial = 0n;

  const take = async (draft: Draft, fault: FaultRule | undefined): Promise<ServedReply> => {
    const repeated = limits.repeated(draft);
    // Nothing new is taken: the first one's answer again.
    if (repeated !== undefined) return taken(repeated);
    const refusal = limits.refusal(draft);
    if (refusal !== undefined) return refused(refusal);
    serial += 1n;
    const providerId = String(firstMsgId + serial);
    limits.record(draft, providerId);
    const { app, openid, template, text } = draft;
    const entry = {
      at: Date.now(),
      to: openid,
      ref: draft.clientMsgId ?? '',
      text,
    };
    provider.accepted.add({ ...entry, providerId });
    if (fault?.kind === 'silent-drop') return taken(providerId);
    const fate = fateOf(openid);
    if (fate === 'delivered' || fate === 'never')
      provider.device.add({ ...entry, shown: 1, isGone: false });
    if (fate !== 'never') {
      const settled = { app, openid, providerId, template, fate };
      if (fault?.kind === 'receipt-first') await pushes.pushFirst(settled);
      else pushes.schedule(settled);
    }
    return taken(providerId);
  };

  const authorized = (call: ProviderCall): AppEntry | Refusal => {
    const token = call.query.get('access_token') ?? '';
    if (token === '') return refuse(41001, 'access_token missing');
    const state = desk.check(token);
    if ('errcode' in state)
      return state.errcode === 42001
        ? refuse(42001, 'access_token expired')
        : refuse(40001, 'invalid credential, access_token is invalid or not latest');
    const app = apps.find(({ appId }) => appId === state.appId);
    return app ?? refuse(40013, 'invalid appid');
  };

  const serve = (
    call: ProviderCall,
    fault: FaultRule | undefined,
  ): ServedReply | Promise<ServedReply> => {
    if (call.path === '/cgi-bin/stable_token') return serveStableToken(call, { apps, desk });
    if (call.path === '/cgi-bin/token') return serveLegacyToken(call, { apps, desk });
    const isQuota = call.path === '/cgi-bin/openapi/quota/get';
    if (!isQuota && !isSendPath(call.path))
      return { code: '404', status: 404, headers: { 'content-type': 'text/html' }, body: '' };
    if (call.method !== 'POST') return refused(refuse(43002, 'require POST method'));
    const app = authorized(call);
    if (isRefusal(app)) return refused(app);
    if (!isSendPath(call.path))
      return serveQuota(call, app, { limit: settings().dailyQuota, used: limits.used(app.appId) });
    const draft = readMessage(app, call.path, call.body);
    return isRefusal(draft) ? refused(draft) : take(draft, fault);
  };

  const provider = createProvider({
    name: 'wechat',
    seed: options.seed ?? 1,
    settingsSchema: SettingsSchema,
    settings: { ...defaultSettings, ...options.settings },
    describe: (call) => ({
      action: call.path.split('/').slice(-2).join('/'),
      // A call with a stale token comes again: faults of an address wait for the one that counts.
      to: isRefusal(authorized(call)) ? [] : toOf(call),
    }),
    serve,
    errorReply: ({ status = 503, code = '-1', message = 'system error', headers = {} }) => ({
      status,
      headers,
      body: JSON.stringify({ errcode: Number(code), errmsg: withRid(message) }),
    }),
    onReset: () => {
      desk.clear();
      limits.clear();
      pushes.clear();
    },
    routes: [],
  });
  const pushes = createWechatPushes({ apps, random: provider.random, now, settings });

  const simulator: WechatSimulator = {
    ...provider,
    tokens: desk,
    receiptCounts: pushes.counts,
    setRelation: limits.setRelation,
    setGrants: limits.setGrants,
    tell: ({ appId, openid, event, fields = {} }) => {
      const app = apps.find((each) => each.appId === appId);
      if (app === undefined) throw new ControlFault(`there is no account ${appId}`);
      pushes.tell({ app, openid, event, fields });
    },
    get routes() {
      return [...provider.routes, ...controlRoutes(simulator)];
    },
    close: pushes.close,
  };
  return simulator;
}

function controlRoutes(simulator: WechatSimulator): readonly ControlRoute[] {
  const closed = { additionalProperties: false };
  const person = { appId: Type.String(), openid: Type.String() };
  return [
    controlRoute({
      method: 'POST',
      path: '/wechat/revoke-tokens',
      body: Type.Object({ appId: Type.Optional(Type.String()) }, closed),
      handle: ({ body }) => simulator.tokens.revoke(body.appId),
    }),
    controlRoute({
      method: 'PUT',
      path: '/wechat/people',
      body: Type.Object({ ...person, relation: Type.Enum([...relations]) }, closed),
      handle: ({ body }) => simulator.setRelation(body.appId, body.openid, body.relation),
    }),
    controlRoute({
      method: 'PUT',
      path: '/wechat/grants',
      body: Type.Object(
        { ...person, templateId: Type.String(), count: Type.Integer({ minimum: 0 }) },
        closed,
      ),
      handle: ({ body }) => simulator.setGrants(body),
    }),
    controlRoute({
      method: 'POST',
      path: '/wechat/events',
      body: Type.Object(
        {
          ...person,
          event: Type.String(),
          fields: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        },
        closed,
      ),
      handle: ({ body }) => simulator.tell(body),
    }),
    controlRoute({
      method: 'GET',
      path: '/wechat/receipts',
      handle: () => simulator.receiptCounts(),
    }),
  ];
}

interface TokenContext {
  readonly apps: readonly AppEntry[];
  readonly desk: TokenDesk;
}

function serveStableToken(call: ProviderCall, { apps, desk }: TokenContext): ServedReply {
  if (call.method !== 'POST') return refused(refuse(43002, 'require POST method'));
  const body = parseJson(call.body.toString('utf8'));
  if (!Check(TokenBodySchema, body)) return refused(refuse(40002, 'invalid grant_type'));
  const refusal = credentialFault(apps, body.appid, body.secret);
  if (refusal !== undefined) return refused(refusal);
  if (body.force_refresh !== true) return given(desk.stable(body.appid));
  const forced = desk.forced(body.appid);
  return forced === undefined
    ? refused(refuse(45009, 'reach max api daily quota limit'))
    : given(forced);
}

function serveLegacyToken(call: ProviderCall, { apps, desk }: TokenContext): ServedReply {
  if (call.query.get('grant_type') !== 'client_credential')
    return refused(refuse(40002, 'invalid grant_type'));
  const appId = call.query.get('appid') ?? '';
  const refusal = credentialFault(apps, appId, call.query.get('secret') ?? '');
  return refusal === undefined ? given(desk.legacy(appId)) : refused(refusal);
}

function credentialFault(
  apps: readonly AppEntry[],
  appId: string,
  secret: string,
): Refusal | undefined {
  if (appId === '') return refuse(41002, 'appid missing');
  if (secret === '') return refuse(41004, 'appsecret missing');
  const app = apps.find((each) => each.appId === appId);
  if (app === undefined) return refuse(40013, 'invalid appid');
  // What is no secret at all, and what is another one.
  if (!/^[0-9a-f]{32}$/.test(secret)) return refuse(40125, 'invalid appsecret');
  return app.appSecret === secret ? undefined : refuse(40001, 'invalid credential');
}

function serveQuota(
  call: ProviderCall,
  app: AppEntry,
  { limit, used }: { readonly limit: number; readonly used: number },
): ServedReply {
  const body = parseJson(call.body.toString('utf8'));
  if (!Check(QuotaBodySchema, body) || !isSendPath(body.cgi_path))
    return refused(refuse(76021, 'cgi_path not found, please check'));
  if (sendPaths[body.cgi_path].kind !== app.kind)
    return refused(refuse(76022, 'could not use this cgi_path, no permission'));
  const quota = { daily_limit: limit, used, remain: Math.max(0, limit - used) };
  return ok(JSON.stringify({ errcode: 0, errmsg: 'ok', quota }));
}

const ok = (body: string): ServedReply => ({ code: 'OK', status: 200, body });
/** By hand: the id is beyond what JSON.stringify writes exactly. */
const taken = (msgId: string) => ok(`{"errcode":0,"errmsg":"ok","msgid":${msgId}}`);
const given = ({ token, expiresIn }: { token: string; expiresIn: number }) =>
  ok(JSON.stringify({ access_token: token, expires_in: expiresIn }));
/** WeChat's request id, as it ends every text. */
const withRid = (text: string) =>
  `${text} rid: ${[1, 2, 3].map(() => randomBytes(4).toString('hex')).join('-')}`;
const refused = ({ errcode, errmsg }: Refusal): ServedReply => ({
  code: String(errcode),
  status: 200,
  body: JSON.stringify({ errcode, errmsg: withRid(errmsg) }),
});

function toOf(call: ProviderCall): readonly string[] {
  const body = parseJson(call.body.toString('utf8'));
  const to = typeof body === 'object' && body !== null && 'touser' in body ? body.touser : '';
  return typeof to === 'string' && to !== '' ? [to] : [];
}
