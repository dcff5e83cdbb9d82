/**
 * A simulated APNs on a port of its own: HTTP/2, real tokens, two ledgers, faults. A notification with a collapse id
 * replaces the one a device already shows under it. docs/channels/push-apns.md names what is assumed.
 */
import { createPublicKey, randomUUID } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { controlRoute, type ControlRoute } from '../sandbox/control.ts';
import { createFaultPlan, type FaultPlan, type FaultRule } from '../sandbox/faults.ts';
import {
  bookRoutes,
  commonDefaults,
  commonSettings,
  createBooks,
  faultRoutes,
  shownOf,
  type ProviderBooks,
} from '../sandbox/provider.ts';
import { createRandom, drawLatencyMs } from '../sandbox/random.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import { checkPush, refuseToken, type CheckedPush, type Refused } from './simulator-checks.ts';
import { listenH2, type ServerPush } from './simulator-listener.ts';

const name = 'push-apns';

const SettingsSchema = Type.Object(
  {
    ...commonSettings,
    maxConcurrentStreams: Type.Integer({
      minimum: 1,
      description: 'On one connection, once a token was accepted there; 1 before.',
    }),
  },
  { additionalProperties: false },
);
type Settings = Static<typeof SettingsSchema>;

const GoAwaySchema = Type.Object(
  {
    nextCalls: Type.Integer({ minimum: 1, description: 'How many pushes are met with it.' }),
    isProcessed: Type.Boolean({
      description:
        'True: the push was taken and only its answer is lost; false: it was not looked at.',
    }),
  },
  { additionalProperties: false },
);

export interface PushApnsSimulatorOptions {
  /** PEM of a private or public P-256 key: its public half is what tokens are checked with. */
  readonly keys: readonly {
    readonly keyId: string;
    readonly teamId: string;
    readonly pem: string;
  }[];
  readonly topics: readonly string[];
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
  /** Absent: HTTP/2 without TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface PushApnsSimulator extends Simulator, ProviderBooks {
  readonly faults: FaultPlan;
  configure(change: Partial<Settings>): Settings;
  listen: NonNullable<Simulator['listen']>;
  /** Every token seen so far is expired from now on. */
  revokeTokens(): void;
  /** How many different genuine tokens were seen. */
  tokensSeen(): number;
  goAway(plan: Static<typeof GoAwaySchema>): void;
  /** The most streams there ever were at once on a connection, before a token was accepted there and after. */
  peakStreams(): { readonly before: number; readonly after: number };
}

/** Makes the provider; it holds no connection until it listens. */
export function createPushApnsSimulator(options: PushApnsSimulatorOptions): PushApnsSimulator {
  const books = createBooks();
  const { accepted, device, calls } = books;
  const random = createRandom(options.seed ?? 1);
  const faults = createFaultPlan(random);
  const defaults: Settings = { ...commonDefaults, maxConcurrentStreams: 1000, ...options.settings };
  let settings = defaults;
  const startedAt = Date.now();
  const now = () => startedAt + (Date.now() - startedAt) * settings.clockScale;
  const keys = new Map(
    options.keys.map(({ keyId, teamId, pem }) => [
      keyId,
      { teamId, publicKey: createPublicKey(pem) },
    ]),
  );
  const revoked = new Set<string>();
  const seen = new Set<string>();
  let leaving = { nextCalls: 0, isProcessed: false };
  let peak = { before: 0, after: 0 };

  const take = (push: CheckedPush, isDropped: boolean): string => {
    const apnsId = push.apnsId ?? randomUUID();
    const entry = {
      at: Date.now(),
      to: push.device,
      ref: push.collapseId ?? apnsId,
      text: push.text,
    };
    accepted.add({ ...entry, providerId: apnsId });
    if (isDropped) return apnsId;
    const shown = device
      .find({ where: { to: entry.to, ref: entry.ref }, limit: 1 })
      .entries.find(({ isGone }) => !isGone);
    if (push.collapseId === undefined || shown === undefined)
      device.add({ ...entry, shown: 1, isGone: false });
    else {
      shown.text = push.text;
      shown.shown += 1;
    }
    return apnsId;
  };
  const onPush = async (push: ServerPush): Promise<void> => {
    const to = /\/3\/device\/([^/?]*)$/.exec(push.headers[':path'] ?? '')?.[1] ?? '';
    const note = (code: string) => calls.add({ at: Date.now(), action: 'Push', code, to });
    const refusing = (refused: Refused) => {
      note(refused.reason);
      refuseWith(push, refused);
    };
    const { isTrusted, streams } = push.connection;
    peak = isTrusted
      ? { ...peak, after: Math.max(peak.after, streams) }
      : { ...peak, before: Math.max(peak.before, streams) };
    const latency = { medianMs: settings.latencyMedianMs, p99Ms: settings.latencyP99Ms };
    const delayMs = drawLatencyMs(latency, random);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    const { headers, body, connection } = push;
    if (push.streamId > (connection.leavesAfter ?? Infinity)) return;
    const desk = { keys, revoked, seen, nowMs: now() };
    // Before the faults: a push with a stale token comes again, and only then is the message the fault is for.
    const refusal = refuseToken(headers.authorization, connection, desk);
    if (refusal !== undefined) return refusing(refusal);
    const fault = faults.take({ action: 'Push', to: [to] });
    const isLeaving = leaving.nextCalls > 0;
    if (isLeaving) leaving = { ...leaving, nextCalls: leaving.nextCalls - 1 };
    if (isLeaving && !leaving.isProcessed) {
      note('goaway');
      return push.goAway('Shutdown');
    }
    if (fault !== undefined && playInstead(fault, push)) return note(fault.kind);
    const checked = checkPush(headers, body, { topics: options.topics, nowMs: desk.nowMs });
    if ('reason' in checked) return refusing(checked);
    const apnsId = take(checked, fault?.kind === 'silent-drop');
    connection.lastTaken = Math.max(connection.lastTaken, push.streamId);
    note('OK');
    if (!connection.isTrusted) {
      connection.isTrusted = true;
      push.allowStreams(settings.maxConcurrentStreams);
    }
    if (isLeaving) return push.goAway('Shutdown');
    playAnswer(fault, push, apnsId);
  };

  const configure = (change: Partial<Settings>) => (settings = { ...settings, ...change });
  const revokeTokens = () => {
    for (const token of seen) revoked.add(token);
  };
  const goAway = (plan: Static<typeof GoAwaySchema>) => {
    leaving = plan;
  };
  const reset = () => {
    settings = defaults;
    faults.clear();
    for (const ledger of [accepted, device, calls]) ledger.clear();
    for (const tokens of [revoked, seen]) tokens.clear();
    leaving = { nextCalls: 0, isProcessed: false };
    peak = { before: 0, after: 0 };
  };
  const routes: readonly ControlRoute[] = [
    ...bookRoutes(name, books),
    ...faultRoutes(name, faults),
    controlRoute({ method: 'GET', path: `/${name}/settings`, handle: () => settings }),
    controlRoute({
      method: 'PUT',
      path: `/${name}/settings`,
      body: Type.Partial(SettingsSchema, { additionalProperties: false }),
      handle: ({ body }) => configure(body),
    }),
    controlRoute({ method: 'POST', path: `/${name}/reset`, handle: reset }),
    controlRoute({ method: 'POST', path: `/${name}/tokens/revoke`, handle: revokeTokens }),
    controlRoute({
      method: 'POST',
      path: `/${name}/goaway`,
      body: GoAwaySchema,
      handle: ({ body }) => goAway(body),
    }),
  ];
  return {
    ...books,
    name,
    faults,
    configure,
    revokeTokens,
    tokensSeen: () => seen.size,
    goAway,
    peakStreams: () => peak,
    listen: (address) => listenH2({ ...address, tls: options.tls, onPush }),
    routes,
    shown: (limit) => shownOf(books, limit),
    reset,
    close: async () => undefined,
  };
}

const json = { 'content-type': 'application/json' };
const html = { 'content-type': 'text/html' };
const page = '<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>';

function refuseWith(push: ServerPush, refused: Refused): void {
  const { status, ...said } = refused;
  push.respond(
    status,
    { ...json, 'apns-id': String(push.headers['apns-id'] ?? '') },
    JSON.stringify(said),
  );
}

function errorOf({ status = 503, code }: FaultRule): Refused {
  return {
    status,
    reason: code ?? (status === 503 ? 'ServiceUnavailable' : 'InternalServerError'),
  };
}

/** Plays a fault that comes before the push is taken. False: the push goes on. */
function playInstead(fault: FaultRule, push: ServerPush): boolean {
  if (fault.kind === 'error') refuseWith(push, errorOf(fault));
  else if (fault.kind === 'reset') push.reset();
  else if (fault.kind === 'html-502') push.respond(502, html, page);
  else return false;
  return true;
}

/** Answers a push that was taken, or does what the fault makes of it. */
function playAnswer(fault: FaultRule | undefined, push: ServerPush, apnsId: string): void {
  switch (fault?.kind) {
    case 'accept-then-error':
      return refuseWith(push, errorOf({ status: 500, ...fault }));
    case 'accept-then-reset':
      return push.reset();
    case 'accept-then-hang':
      return;
    case 'slow-body':
      return push.drip(200, { 'apns-id': apnsId }, '');
    case 'html-200':
      return push.respond(200, html, page);
    case 'error':
    case 'reset':
    case 'html-502':
    case 'silent-drop':
    case 'receipt-first':
    case undefined:
      push.respond(200, { 'apns-id': apnsId }, '');
  }
}
