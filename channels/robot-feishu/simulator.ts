/**
 * Simulated Feishu custom robots: hooks, signatures, security settings, sizes and both windows. The order of its checks is
 * an assumption; docs/channels/robot-feishu.md tells more.
 */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import { isSame } from '../kit/is-same.ts';
import { controlRoute } from '../sandbox/control.ts';
import {
  commonDefaults,
  commonSettings,
  createProvider,
  type Provider,
  type ProviderCall,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import { maxBodyBytes } from './client.ts';
import { signRobot } from './sign.ts';

const Limit = Type.Union([Type.Null(), Type.Integer({ minimum: 1 })], {
  description: 'Messages a robot may send within any such time; null: no limit, for load tests.',
});
const SettingsSchema = Type.Object(
  { ...commonSettings, perSecond: Limit, perMinute: Limit },
  { additionalProperties: false },
);
type Settings = Static<typeof SettingsSchema>;

const RobotSchema = Type.Object(
  {
    group: Type.String({ minLength: 1 }),
    hookId: Type.String({ minLength: 1 }),
    secret: Type.String({ minLength: 1 }),
    keywords: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'A message must contain one of them. Default: none is asked for.',
      }),
    ),
    isAddressAllowed: Type.Optional(
      Type.Boolean({ description: "False: the caller's IP address is not on its list." }),
    ),
    isEnabled: Type.Optional(Type.Boolean({ description: 'Default true.' })),
  },
  { additionalProperties: false },
);
type SimulatedRobot = Static<typeof RobotSchema>;

const Piece = Type.Union([
  Type.Object({ tag: Type.Literal('text'), text: Type.String() }),
  Type.Object({ tag: Type.Literal('a'), text: Type.String(), href: Type.String({ minLength: 1 }) }),
  Type.Object({ tag: Type.Literal('at'), user_id: Type.String({ minLength: 1 }) }),
]);
const Post = Type.Object({
  title: Type.Optional(Type.String()),
  content: Type.Array(Type.Array(Piece)),
});
const MessageSchema = Type.Union([
  Type.Object({
    msg_type: Type.Literal('text'),
    content: Type.Object({ text: Type.String({ minLength: 1 }) }),
  }),
  Type.Object({
    msg_type: Type.Literal('post'),
    content: Type.Object({ post: Type.Object({ zh_cn: Post }) }),
  }),
]);
/** The guide's examples give the time as a number and as a string; both are taken. */
const SignedSchema = Type.Object({
  timestamp: Type.Union([Type.String({ pattern: '^[0-9]{10}$' }), Type.Integer()]),
  sign: Type.String(),
});

const signatureLifeMs = 3_600_000;

export interface RobotFeishuSimulatorOptions {
  /** Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
  readonly robots?: readonly SimulatedRobot[];
}

export interface RobotFeishuSimulator
  extends Simulator, Pick<Provider<Settings>, 'accepted' | 'device' | 'calls' | 'faults'> {
  configure(change: Partial<Settings>): Settings;
  /** Adds a robot, or changes the one of its group. */
  setRobot(robot: SimulatedRobot): void;
}

/** Makes robots that live in memory; they stay over a reset. */
export function createRobotFeishuSimulator(
  options: RobotFeishuSimulatorOptions = {},
): RobotFeishuSimulator {
  const robots = new Map(options.robots?.map((robot) => [robot.group, robot]));
  const sentAt = new Map<string, number[]>();
  const setRobot = (robot: SimulatedRobot) => void robots.set(robot.group, robot);
  const robotOf = ({ path }: ProviderCall) =>
    [...robots.values()].find(({ hookId }) => path === `/open-apis/bot/v2/hook/${hookId}`);

  /** Both windows count messages that were taken, by the simulated clock. */
  const isTooFast = (group: string): boolean => {
    const { perSecond, perMinute } = provider.settings();
    const now = provider.now();
    const recent = (sentAt.get(group) ?? []).filter((time) => time > now - 60_000);
    const ofSecond = recent.filter((time) => time > now - 1000);
    const isOver =
      ofSecond.length >= (perSecond ?? Infinity) || recent.length >= (perMinute ?? Infinity);
    sentAt.set(group, isOver ? recent : [...recent, now]);
    return isOver;
  };
  const send = (call: ProviderCall, isShown: boolean): ServedReply => {
    const robot = robotOf(call);
    if (robot === undefined)
      return refuse(19_001, 'param invalid: incoming webhook access token invalid');
    const body = parseJson(call.body.toString('utf8'));
    const refused = refusalOf(call, body, robot);
    if (refused !== undefined) return refused;
    if (isTooFast(robot.group)) return refuse(11_232, 'frequency limited');
    const text = textOf(body as Static<typeof MessageSchema>);
    const entry = { at: Date.now(), to: robot.group, ref: '', text };
    provider.accepted.add({ ...entry, providerId: '' });
    if (isShown) provider.device.add({ ...entry, shown: 1, isGone: false });
    return { ...answer(0, 'success'), code: 'OK' };
  };

  const provider = createProvider({
    name: 'robot-feishu',
    seed: options.seed ?? 1,
    settingsSchema: SettingsSchema,
    settings: { ...commonDefaults, perSecond: 5, perMinute: 100, ...options.settings },
    describe: (call) => ({ action: 'send', to: [robotOf(call)?.group ?? ''] }),
    serve: (call, fault) => send(call, fault?.kind !== 'silent-drop'),
    errorReply: ({ status = 503, code = '500', message = 'internal error', headers }) => ({
      status,
      ...(headers !== undefined && { headers }),
      body: JSON.stringify({ code: Number(code), msg: message, data: {} }),
    }),
    onReset: () => sentAt.clear(),
    routes: [
      controlRoute({
        method: 'PUT',
        path: '/robot-feishu/robots',
        body: RobotSchema,
        handle: ({ body }) => setRobot(body),
      }),
    ],
  });
  return { ...provider, setRobot, close: async () => undefined };
}

function refusalOf(
  { method, headers, body: bytes }: ProviderCall,
  body: unknown,
  robot: SimulatedRobot,
): ServedReply | undefined {
  const isJson = /^application\/json\b/.test(headers['content-type'] ?? '');
  if (method !== 'POST' || !isJson || typeof body !== 'object' || body === null)
    return refuse(9499, 'Bad Request');
  if (bytes.length > maxBodyBytes) return refuse(9499, 'Bad Request');
  if (robot.isEnabled === false) return refuse(19_007, 'Bot Not Enabled');
  if (!isSigned(body, robot.secret))
    return refuse(19_021, 'sign match fail or timestamp is not within one hour from current time');
  if (robot.isAddressAllowed === false) return refuse(19_022, 'Ip Not Allowed');
  if (!('msg_type' in body)) return refuse(19_002, 'params error, msg_type need');
  if (!Check(MessageSchema, body)) return refuse(9499, 'Bad Request');
  const { keywords = [] } = robot;
  const text = textOf(body);
  return keywords.length > 0 && !keywords.some((keyword) => text.includes(keyword))
    ? refuse(19_024, 'Key Words Not Found')
    : undefined;
}

/** By the real clock, also where windows run faster. */
function isSigned(body: unknown, secret: string): boolean {
  if (!Check(SignedSchema, body)) return false;
  const timestamp = String(body.timestamp);
  if (Math.abs(Date.now() - Number(timestamp) * 1000) > signatureLifeMs) return false;
  return isSame(body.sign, signRobot(secret, timestamp));
}

function textOf(message: Static<typeof MessageSchema>): string {
  if (message.msg_type === 'text') return message.content.text;
  const { title = '', content } = message.content.post.zh_cn;
  const lines = content.map((line) =>
    line.map((piece) => (piece.tag === 'at' ? `@${piece.user_id}` : piece.text)).join(''),
  );
  return [title, ...lines].join('\n');
}

/** Every answer carries the fields of the first version too, and those say 0 whatever happened. */
function answer(code: number, msg: string) {
  const old = { StatusCode: 0, StatusMessage: code === 0 ? 'success' : '' };
  return { status: 200, body: JSON.stringify({ ...old, code, data: {}, msg }) };
}

/** Refusals come with HTTP 200. */
function refuse(code: number, msg: string): ServedReply {
  return { ...answer(code, msg), code: String(code) };
}
