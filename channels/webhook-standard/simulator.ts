/**
 * Scripted webhook receivers, one for each path. They verify with the reference library, remember the ids they have seen,
 * and answer as they are told: receivers are where a webhook's trouble comes from.
 */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { Webhook } from 'standardwebhooks';
import { parseJson } from '../kit/answers.ts';
import { controlRoute } from '../sandbox/control.ts';
import {
  commonDefaults,
  commonSettings,
  createProvider,
  type Provider,
  type ProviderCall,
  type ProviderReply,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { Simulator } from '../sandbox/simulator.ts';

const SettingsSchema = Type.Object(
  {
    ...commonSettings,
    retryAfterSeconds: Type.Integer({
      minimum: 0,
      description: 'Told by `busy` and `unavailable`.',
    }),
  },
  { additionalProperties: false },
);
type Settings = Static<typeof SettingsSchema>;

/** What a receiver does with a genuine call. A receiver of one of these names behaves so from the start. */
const behaviours = [
  'ok',
  'no-content',
  'moved',
  'bad-request',
  'gone',
  'busy',
  'unavailable',
  'cut',
  'big-body',
  'huge-body',
] as const;
type Behaviour = (typeof behaviours)[number];

const ReceiverSchema = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    behaviour: Type.Optional(Type.Enum([...behaviours])),
    secret: Type.Optional(Type.String({ pattern: '^whsec_' })),
  },
  { additionalProperties: false },
);

const PayloadSchema = Type.Object({
  type: Type.String({ minLength: 1 }),
  timestamp: Type.String({ format: 'date-time' }),
  data: Type.Object({}),
});

/** The specification's recommendation, taken at its word here. */
const maxPayloadBytes = 20_000;
const bigBodyBytes = 1_000_000;
const hugeBodyBytes = 2_000_000;

export interface WebhookStandardSimulatorOptions {
  /** Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
  /** What every receiver verifies with that was given no secret of its own. */
  readonly secret: string;
}

export interface WebhookStandardSimulator
  extends Simulator, Pick<Provider<Settings>, 'accepted' | 'device' | 'calls' | 'faults'> {
  configure(change: Partial<Settings>): Settings;
  /** Sets what one receiver does and verifies with. */
  setReceiver(receiver: Static<typeof ReceiverSchema>): void;
}

/** Makes receivers for any path: `/<name>`. */
export function createWebhookStandardSimulator(
  options: WebhookStandardSimulatorOptions,
): WebhookStandardSimulator {
  const receivers = new Map<string, Static<typeof ReceiverSchema>>();
  const setReceiver = (receiver: Static<typeof ReceiverSchema>) =>
    void receivers.set(receiver.name, { ...receivers.get(receiver.name), ...receiver });
  const behaviourOf = (name: string): Behaviour =>
    receivers.get(name)?.behaviour ?? behaviours.find((each) => each === name) ?? 'ok';

  const refusal = (call: ProviderCall, name: string): ServedReply | undefined => {
    if (call.method !== 'POST') return refuse(405, 'only POST');
    if (!/^application\/json\b/.test(call.headers['content-type'] ?? ''))
      return refuse(415, 'only application/json');
    if (call.body.length > maxPayloadBytes) return refuse(413, 'too large');
    const body = call.body.toString('utf8');
    try {
      const webhook = new Webhook(receivers.get(name)?.secret ?? options.secret);
      webhook.verify(body, call.headers, { jsonParse: false });
    } catch (error) {
      return refuse(401, (error as Error).message);
    }
    return Check(PayloadSchema, parseJson(body)) ? undefined : refuse(400, 'not an event');
  };

  /** Counted as accepted every time; shown once for each webhook-id, as a careful receiver does. */
  const take = (call: ProviderCall, name: string, isSeen: boolean) => {
    const ref = call.headers['webhook-id'] ?? '';
    const { type, data } = parseJson(call.body.toString('utf8')) as Static<typeof PayloadSchema>;
    const entry = { at: Date.now(), to: name, ref, text: `${type} ${JSON.stringify(data)}` };
    provider.accepted.add({ ...entry, providerId: ref });
    const known = provider.device.find({ where: { to: name, ref }, limit: 1 }).matched > 0;
    if (isSeen && !known) provider.device.add({ ...entry, shown: 1, isGone: false });
  };

  const provider = createProvider({
    name: 'webhook-standard',
    seed: options.seed ?? 1,
    settingsSchema: SettingsSchema,
    settings: { ...commonDefaults, retryAfterSeconds: 30, ...options.settings },
    describe: (call) => ({ action: 'deliver', to: [nameOf(call)] }),
    serve: (call, fault) => {
      const name = nameOf(call);
      const refused = refusal(call, name);
      if (refused !== undefined) return refused;
      const reply = replyOf(behaviourOf(name), provider.settings().retryAfterSeconds);
      if (reply.status >= 300) return { ...reply, code: `HTTP ${reply.status}` };
      take(call, name, fault?.kind !== 'silent-drop');
      return { ...reply, code: 'OK' };
    },
    errorReply: ({ status = 503, headers, message = 'unavailable' }) => ({
      status,
      ...(headers !== undefined && { headers }),
      body: JSON.stringify({ error: message }),
    }),
    onReset: () => addMagicFaults(),
    routes: [
      controlRoute({
        method: 'PUT',
        path: '/webhook-standard/receivers',
        body: ReceiverSchema,
        handle: ({ body }) => setReceiver(body),
      }),
      controlRoute({
        method: 'GET',
        path: '/webhook-standard/repeats',
        handle: (): unknown =>
          provider.accepted.repeated('ref').map(({ value, count }) => ({ ref: value, count })),
      }),
    ],
  });
  /** Receivers that never answer, and that hang up, are faults of the connection. */
  const addMagicFaults = () => {
    provider.faults.add({ kind: 'accept-then-hang', to: 'hang' });
    provider.faults.add({ kind: 'accept-then-reset', to: 'reset' });
  };
  addMagicFaults();
  return { ...provider, setReceiver, close: async () => undefined };
}

function nameOf({ path }: ProviderCall): string {
  return path.slice(1);
}

function refuse(status: number, error: string): ServedReply {
  return { status, body: JSON.stringify({ error }), code: `HTTP ${status}` };
}

function replyOf(behaviour: Behaviour, retryAfterSeconds: number): ProviderReply {
  const wait = { 'retry-after': String(retryAfterSeconds) };
  switch (behaviour) {
    case 'ok':
      return { status: 200, body: '{"ok":true}' };
    case 'no-content':
      return { status: 204, body: '' };
    case 'moved':
      return { status: 301, headers: { location: '/ok' }, body: '' };
    case 'bad-request':
      return { status: 400, body: '{"error":"bad request"}' };
    case 'gone':
      return { status: 410, body: '{"error":"gone"}' };
    case 'busy':
      return { status: 429, headers: wait, body: '{"error":"busy"}' };
    case 'unavailable':
      return { status: 503, headers: wait, body: '{"error":"unavailable"}' };
    case 'cut':
      // Headers promise more than comes before the connection ends.
      return { status: 200, headers: { 'content-length': '100', connection: 'close' }, body: '{' };
    case 'big-body':
      return { status: 200, body: 'x'.repeat(bigBodyBytes) };
    case 'huge-body':
      return { status: 200, body: 'x'.repeat(hugeBodyBytes) };
  }
}
