/**
 * Simulated DingTalk custom robots: tokens, signatures, security settings, sizes, and the ten minutes of silence for who
 * sends more than 20 messages in one. The order of its checks is an assumption; docs/channels/robot-dingtalk.md tells more.
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
import { penaltyMs } from './classify.ts';
import { signRobot } from './sign.ts';

const SettingsSchema = Type.Object(
  {
    ...commonSettings,
    perMinute: Type.Union([Type.Null(), Type.Integer({ minimum: 1 })], {
      description: 'Messages a robot may send within any minute; null: no limit, for load tests.',
    }),
  },
  { additionalProperties: false },
);
type Settings = Static<typeof SettingsSchema>;

const RobotSchema = Type.Object(
  {
    group: Type.String({ minLength: 1 }),
    accessToken: Type.String({ minLength: 1 }),
    secret: Type.String({ minLength: 1 }),
    keywords: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'A message must contain one of them. Default: none is asked for.',
      }),
    ),
    isAddressAllowed: Type.Optional(
      Type.Boolean({ description: "False: the caller's IP address is not on its list." }),
    ),
    state: Type.Optional(
      Type.Enum(['ready', 'disabled', 'removed', 'group-gone'], { description: 'Default ready.' }),
    ),
  },
  { additionalProperties: false },
);
type SimulatedRobot = Static<typeof RobotSchema>;

const At = Type.Object({
  atMobiles: Type.Optional(Type.Array(Type.String())),
  isAtAll: Type.Optional(Type.Boolean()),
});
const Text = Type.String({ minLength: 1 });
const MessageSchema = Type.Union([
  Type.Object({
    msgtype: Type.Literal('text'),
    text: Type.Object({ content: Text }),
    at: Type.Optional(At),
  }),
  Type.Object({
    msgtype: Type.Literal('markdown'),
    markdown: Type.Object({ title: Text, text: Text }),
    at: Type.Optional(At),
  }),
]);

const msgtypes = ['text', 'markdown', 'link', 'actionCard', 'feedCard'];
const maxMessageBytes = 20_000;
const signatureLifeMs = 3_600_000;
const windowMs = 60_000;

export interface RobotDingtalkSimulatorOptions {
  /** Default 1. */
  readonly seed?: number;
  readonly settings?: Partial<Settings>;
  readonly robots?: readonly SimulatedRobot[];
}

export interface RobotDingtalkSimulator
  extends Simulator, Pick<Provider<Settings>, 'accepted' | 'device' | 'calls' | 'faults'> {
  configure(change: Partial<Settings>): Settings;
  /** Adds a robot, or changes the one of its group. */
  setRobot(robot: SimulatedRobot): void;
}

/** Makes robots that live in memory; they stay over a reset. */
export function createRobotDingtalkSimulator(
  options: RobotDingtalkSimulatorOptions = {},
): RobotDingtalkSimulator {
  const robots = new Map(options.robots?.map((robot) => [robot.group, robot]));
  const sentAt = new Map<string, number[]>();
  const silentUntil = new Map<string, number>();
  const setRobot = (robot: SimulatedRobot) => void robots.set(robot.group, robot);
  const robotOf = ({ query }: ProviderCall) =>
    [...robots.values()].find(({ accessToken }) => accessToken === query.get('access_token'));

  /** The limit counts messages that were taken; who breaks it hears the same for ten minutes. */
  const isTooFast = (group: string): boolean => {
    const { perMinute } = provider.settings();
    if (perMinute === null) return false;
    const now = provider.now();
    if (now < (silentUntil.get(group) ?? 0)) return true;
    const recent = (sentAt.get(group) ?? []).filter((time) => time > now - windowMs);
    const isOver = recent.length >= perMinute;
    if (isOver) silentUntil.set(group, now + penaltyMs);
    else sentAt.set(group, [...recent, now]);
    return isOver;
  };
  const send = (call: ProviderCall, isShown: boolean): ServedReply => {
    const robot = robotOf(call);
    const refused = refusalOfCall(call, robot);
    if (refused !== undefined || robot === undefined) return refused ?? unknownToken;
    const body = parseJson(call.body.toString('utf8'));
    const faulty = refusalOfMessage(call.body.length, body, robot);
    if (faulty !== undefined) return faulty;
    if (isTooFast(robot.group)) return refuse(130_101, 'send too fast, exceed 20 times per minute');
    const message = body as Static<typeof MessageSchema>;
    const entry = { at: Date.now(), to: robot.group, ref: '', text: textOf(message) };
    provider.accepted.add({ ...entry, providerId: '' });
    if (isShown) provider.device.add({ ...entry, shown: 1, isGone: false });
    return { status: 200, body: '{"errcode":0,"errmsg":"ok"}', code: 'OK' };
  };

  const provider = createProvider({
    name: 'robot-dingtalk',
    seed: options.seed ?? 1,
    settingsSchema: SettingsSchema,
    settings: { ...commonDefaults, perMinute: 20, ...options.settings },
    describe: (call) => ({ action: 'send', to: [robotOf(call)?.group ?? ''] }),
    serve: (call, fault) => send(call, fault?.kind !== 'silent-drop'),
    errorReply: ({ status = 503, code = '-1', message = '系统繁忙', headers }) => ({
      status,
      ...(headers !== undefined && { headers }),
      body: JSON.stringify({ errcode: Number(code), errmsg: message }),
    }),
    onReset: () => {
      sentAt.clear();
      silentUntil.clear();
    },
    routes: [
      controlRoute({
        method: 'PUT',
        path: '/robot-dingtalk/robots',
        body: RobotSchema,
        handle: ({ body }) => setRobot(body),
      }),
    ],
  });
  return { ...provider, setRobot, close: async () => undefined };
}

/** What is wrong with the call itself, whatever it says. */
function refusalOfCall(
  call: ProviderCall,
  robot: SimulatedRobot | undefined,
): ServedReply | undefined {
  const { method, path, query, headers } = call;
  if (path !== '/robot/send') return refuse(404, '请求的URI地址不存在');
  if (method !== 'POST') return refuse(43_002, '需要POST请求');
  if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
    return refuse(43_004, '无效的HTTP HEADER Content-Type');
  if ((query.get('access_token') ?? '') === '') return refuse(40_035, '缺少参数 access_token');
  if (robot === undefined) return unknownToken;
  if (robot.state === 'group-gone') return refuse(400_013, '群已被解散');
  if (robot.state === 'disabled') return refuse(400_102, '机器人已停用');
  if (robot.state === 'removed') return refuse(400_106, '机器人不存在');
  // Signatures are checked by the real clock, also where windows run faster.
  const timestamp = query.get('timestamp') ?? '';
  const ageMs = Math.abs(Date.now() - Number(timestamp));
  if (!/^\d{13}$/.test(timestamp) || ageMs > signatureLifeMs)
    return refuse(310_000, 'invalid timestamp');
  if (!isSame(query.get('sign') ?? '', signRobot(robot.secret, timestamp)))
    return refuse(310_000, 'sign not match');
  return robot.isAddressAllowed === false
    ? refuse(310_000, 'ip 203.0.113.7 not in whitelist')
    : undefined;
}

function refusalOfMessage(
  sizeBytes: number,
  body: unknown,
  { keywords = [] }: SimulatedRobot,
): ServedReply | undefined {
  if (sizeBytes === 0) return refuse(40_035, '缺少参数 json');
  if (sizeBytes > maxMessageBytes) return refuse(460_101, 'message too long, exceed 20000 bytes');
  const { msgtype } = (body ?? {}) as { msgtype?: unknown };
  if (typeof msgtype !== 'string' || !msgtypes.includes(msgtype))
    return refuse(400_105, '不支持的消息类型');
  if (!Check(MessageSchema, body)) return refuse(300_001, 'param error');
  const text = textOf(body);
  return keywords.length > 0 && !keywords.some((keyword) => text.includes(keyword))
    ? refuse(310_000, 'keywords not in content')
    : undefined;
}

function textOf(message: Static<typeof MessageSchema>): string {
  return message.msgtype === 'text'
    ? message.text.content
    : `${message.markdown.title}\n${message.markdown.text}`;
}

/** Refusals come with HTTP 200, as the real ones do. */
function refuse(errcode: number, errmsg: string): ServedReply {
  return { status: 200, body: JSON.stringify({ errcode, errmsg }), code: String(errcode) };
}

const unknownToken = refuse(300_005, 'token is not exist');
