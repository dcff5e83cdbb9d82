/**
 * What simulated HTTP providers have in common: two ledgers and a list of calls, faults, latency, settings, a scaled clock,
 * and the control routes over them. What a provider checks and says is each channel's own.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Type, type Static, type TObject } from 'typebox';
import { ControlFault, controlRoute, wholeParameter, type ControlRoute } from './control.ts';
import { createFaultPlan, FaultRuleSchema, type FaultPlan, type FaultRule } from './faults.ts';
import { readBody } from './http-listener.ts';
import { createLedger, type Ledger } from './ledger.ts';
import { playAnswer, playInstead, sendReply, type ProviderReply } from './play-fault.ts';
import { createRandom, drawLatencyMs, type Random } from './random.ts';
import { ledgerRoute, type ShownMessage } from './simulator.ts';

export type { ProviderReply } from './play-fault.ts';

/** A message the provider's API took. */
export interface TakenMessage {
  /** Real epoch milliseconds. */
  readonly at: number;
  /** The address as the provider writes it. */
  readonly to: string;
  /** Our delivery key, or what the connector made of it; '' where the protocol has no place for one. */
  readonly ref: string;
  readonly providerId: string;
  readonly text: string;
}

/** A message as a person sees it. */
export interface SeenMessage {
  readonly at: number;
  readonly to: string;
  readonly ref: string;
  text: string;
  /** How often this very message was put on the device; more than 1 only where it replaced itself. */
  shown: number;
  /** Taken back, or replaced by something else: no longer to be seen. */
  isGone: boolean;
}

/** One call as it came in, refused or not. */
export interface ProviderCallEntry {
  readonly at: number;
  readonly action: string;
  /** `OK`, a refusal's code, or the fault that was played. */
  readonly code: string;
  readonly to: string;
}

export interface ProviderBooks {
  readonly accepted: Ledger<TakenMessage, 'to' | 'ref'>;
  readonly device: Ledger<SeenMessage, 'to' | 'ref'>;
  readonly calls: Ledger<ProviderCallEntry, 'action' | 'code'>;
}

export interface ProviderCall {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What every simulator can be told while it runs. */
export const commonSettings = {
  clockScale: Type.Number({
    exclusiveMinimum: 0,
    description: 'Simulated seconds in a real one: 1440 makes a day last a minute.',
  }),
  latencyMedianMs: Type.Number({ minimum: 0, description: 'Of an answer; 0: at once.' }),
  latencyP99Ms: Type.Number({ minimum: 0 }),
};

/** Settings of a provider that pushes receipts. */
export const receiptSettings = {
  receiptUrl: Type.Union([Type.Null(), Type.String({ pattern: '^https?://' })], {
    description: 'Where receipts are pushed; null: nowhere.',
  }),
  receiptsPaused: Type.Boolean(),
  receiptMedianMs: Type.Number({ minimum: 0, description: 'Simulated time until a receipt.' }),
  receiptP99Ms: Type.Number({ minimum: 0 }),
  receiptDuplicateRate: Type.Number({ minimum: 0, maximum: 1 }),
  receiptLostRate: Type.Number({ minimum: 0, maximum: 1, description: 'Never pushed.' }),
};

/** Defaults of both; times are assumptions, for no provider publishes them. */
export const commonDefaults = { clockScale: 1, latencyMedianMs: 0, latencyP99Ms: 0 };
export const receiptDefaults = {
  receiptUrl: null as string | null,
  receiptsPaused: false,
  receiptMedianMs: 500,
  receiptP99Ms: 10_000,
  receiptDuplicateRate: 0.01,
  receiptLostRate: 0,
};

interface CommonValues {
  readonly clockScale: number;
  readonly latencyMedianMs: number;
  readonly latencyP99Ms: number;
}

export interface ProviderOptions<Schema extends TObject> {
  /** Path on the shared port and in the control API. */
  readonly name: string;
  readonly seed: number;
  readonly settingsSchema: Schema;
  /** What `reset` goes back to. */
  readonly settings: Static<Schema> & CommonValues;
  /** What a call wants, before anything is checked: faults are chosen by it. */
  readonly describe: (call: ProviderCall) => { action: string; to: readonly string[] };
  /**
   * Checks, takes and answers. `code` goes into the list of calls: `OK` when it was taken. The fault matters only where
   * it is silent-drop or receipt-first; the others are played around it.
   */
  readonly serve: (
    call: ProviderCall,
    fault: FaultRule | undefined,
  ) => ServedReply | Promise<ServedReply>;
  /** The answer of an `error` fault: what the rule says, else the provider's word for an error of its own. */
  readonly errorReply: (fault: FaultRule) => ProviderReply;
  /** Forgets what the channel itself remembers, with the ledgers. */
  readonly onReset?: () => void;
  readonly routes?: readonly ControlRoute[];
}

export type ServedReply = ProviderReply & { readonly code: string };

export interface Provider<Settings> extends ProviderBooks {
  readonly name: string;
  readonly faults: FaultPlan;
  readonly random: Random;
  /** Epoch milliseconds of the simulated clock. */
  now(): number;
  settings(): Settings;
  configure(change: Partial<Settings>): Settings;
  handle(request: IncomingMessage, response: ServerResponse): void;
  readonly routes: readonly ControlRoute[];
  shown(limit: number): readonly ShownMessage[];
  reset(): void;
  /** Where the settings have a `receiptUrl`, or `receiptUrls` by account: receipts go there from now on. */
  pushReceiptsTo?(urls: Readonly<Record<string, string>>): void;
}

const maxRequestBytes = 4 * 1024 * 1024;

/** Empty ledgers. */
export function createBooks(): ProviderBooks {
  const keys = {
    to: (entry: { to: string }) => entry.to,
    ref: (entry: { ref: string }) => entry.ref,
  };
  return {
    accepted: createLedger<TakenMessage, 'to' | 'ref'>({ keys }),
    device: createLedger<SeenMessage, 'to' | 'ref'>({ keys }),
    calls: createLedger<ProviderCallEntry, 'action' | 'code'>({
      keys: { action: (entry) => entry.action, code: (entry) => entry.code },
    }),
  };
}

/** Makes the common part; a channel's simulator wraps it. */
export function createProvider<Schema extends TObject>(
  options: ProviderOptions<Schema>,
): Provider<Static<Schema> & CommonValues> {
  type Settings = Static<Schema> & CommonValues;
  const { name, describe, serve, errorReply } = options;
  const random = createRandom(options.seed);
  const faults = createFaultPlan(random);
  const books = createBooks();
  const startedAt = Date.now();
  let initial: Settings = options.settings;
  let settings = initial;

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', 'http://provider');
    const call: ProviderCall = {
      method: request.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      headers: Object.fromEntries(
        Object.entries(request.headers).map(([key, value]) => [key, [value].flat().join(', ')]),
      ),
      body: await readBody(request, maxRequestBytes),
    };
    const { action, to } = describe(call);
    const fault = faults.take({ action, to });
    const note = (code: string) =>
      books.calls.add({ at: Date.now(), action, code, to: to.join(',').slice(0, 200) });
    const delayMs = drawLatencyMs(
      { medianMs: settings.latencyMedianMs, p99Ms: settings.latencyP99Ms },
      random,
    );
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (fault !== undefined && playInstead(fault, response, errorReply(fault)))
      return note(fault.kind);
    const { code, ...reply } = await serve(call, fault);
    note(code);
    // A refused call was not taken: there is nothing to lose the answer of.
    if (code !== 'OK' || fault === undefined) return sendReply(response, reply);
    playAnswer(fault, response, { reply, error: errorReply(fault) });
  };
  const configure = (change: Partial<Settings>) => (settings = { ...settings, ...change });
  const reset = () => {
    settings = initial;
    faults.clear();
    for (const ledger of [books.accepted, books.device, books.calls]) ledger.clear();
    options.onReset?.();
  };

  const provider: Provider<Settings> = {
    ...books,
    name,
    faults,
    random,
    now: () => startedAt + (Date.now() - startedAt) * settings.clockScale,
    settings: () => settings,
    configure,
    handle: (request, response) => {
      // The client went away in the middle, or sent too much: there is nobody to answer.
      answer(request, response).catch(() => response.destroy());
    },
    routes: [
      ...bookRoutes(name, books),
      ...faultRoutes(name, faults),
      controlRoute({ method: 'GET', path: `/${name}/settings`, handle: () => settings }),
      controlRoute({
        method: 'PUT',
        path: `/${name}/settings`,
        body: Type.Partial(options.settingsSchema, { additionalProperties: false }),
        handle: ({ body }) => configure(body as Partial<Settings>),
      }),
      controlRoute({ method: 'POST', path: `/${name}/reset`, handle: () => reset() }),
      ...(options.routes ?? []),
    ],
    shown: (limit) => shownOf(books, limit),
    reset,
    ...('receiptUrl' in options.settings && {
      pushReceiptsTo: (urls: Readonly<Record<string, string>>) => {
        const { [name]: receiptUrl } = urls;
        const byAccount = Object.entries(urls).flatMap(([target, url]) =>
          target.startsWith(`${name}/`) ? [[target.slice(name.length + 1), url]] : [],
        );
        const known = (settings as { receiptUrls?: Record<string, string> }).receiptUrls;
        const change = {
          ...(receiptUrl !== undefined && { receiptUrl }),
          ...(known !== undefined && {
            receiptUrls: { ...known, ...Object.fromEntries(byAccount) },
          }),
        };
        initial = { ...initial, ...change };
        settings = { ...settings, ...change };
      },
    }),
  };
  return provider;
}

/** What devices show now, newest first. */
export function shownOf({ device }: ProviderBooks, limit: number): readonly ShownMessage[] {
  return device
    .find({ limit })
    .entries.filter(({ isGone }) => !isGone)
    .map(({ at, to, text }) => ({ at, to, text }));
}

/** Control routes over the ledgers. */
export function bookRoutes(name: string, books: ProviderBooks): readonly ControlRoute[] {
  const { accepted, device, calls } = books;
  return [
    ledgerRoute(`/${name}/accepted`, accepted, ['to', 'ref']),
    ledgerRoute(`/${name}/device`, device, ['to', 'ref']),
    ledgerRoute(`/${name}/calls`, calls, ['action', 'code']),
    controlRoute({
      method: 'GET',
      path: `/${name}/summary`,
      handle: () => ({
        accepted: accepted.total(),
        device: device.total(),
        deviceRefs: device.distinct('ref'),
        calls: calls.total(),
      }),
    }),
    controlRoute({
      method: 'GET',
      path: `/${name}/duplicates`,
      handle: () => device.repeated('ref').map(({ value, count }) => ({ ref: value, count })),
    }),
  ];
}

/** Control routes over the faults. */
export function faultRoutes(name: string, faults: FaultPlan): readonly ControlRoute[] {
  return [
    controlRoute({ method: 'GET', path: `/${name}/faults`, handle: () => faults.list() }),
    controlRoute({
      method: 'POST',
      path: `/${name}/faults`,
      body: FaultRuleSchema,
      handle: ({ body }) => ({ id: faults.add(body) }),
    }),
    controlRoute({
      method: 'DELETE',
      path: `/${name}/faults`,
      handle: ({ query }) => {
        const id = wholeParameter(query, 'id');
        if (id === undefined) faults.clear();
        else if (!faults.remove(id)) throw new ControlFault(`there is no fault ${id}`);
      },
    }),
  ];
}
