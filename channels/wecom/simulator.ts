/**
 * The simulated WeCom: tokens, application messages, customer tasks and group robots as documented, and faults on demand.
 * It refuses what production refuses; where the documents are silent, docs/channels/wecom.md names what it assumes.
 */
import { Type } from 'typebox';
import { controlRoute } from '../sandbox/control.ts';
import {
  createProvider,
  type Provider,
  type ProviderCall,
  type ServedReply,
} from '../sandbox/provider.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import type { Simulator } from '../sandbox/simulator.ts';
import { createCustomerDesk } from './simulator-customers.ts';
import { createPenalties } from './simulator-limits.ts';
import { createMessageDesk } from './simulator-messages.ts';
import { createRobotDesk } from './simulator-robots.ts';
import {
  defaultWecomSettings,
  done,
  refuse,
  WecomSettingsSchema,
  type WecomApp,
  type WecomSettings,
  type WecomSimulatorOptions,
} from './simulator-settings.ts';
import { createTokenDesk } from './simulator-tokens.ts';

export interface WecomSimulator
  extends
    Simulator,
    Omit<Provider<WecomSettings>, 'routes' | 'handle' | 'shown' | 'reset' | 'name'> {
  /** Makes every token that was given out stale. */
  revokeTokens(): void;
  /** Messages that were taken and never shown, for their member had too many. */
  dropped(): number;
  /** Employees send the tasks of this mark, or all that await them. How many that were. */
  confirmTasks(ref?: string): number;
  /** Tasks of this mark that await an employee. */
  awaitingTasks(ref: string): number;
}

const name = 'wecom';
const customerCalls = [
  'add_msg_template',
  'get_groupmsg_list_v2',
  'get_groupmsg_task',
  'get_groupmsg_send_result',
  'cancel_groupmsg_send',
];
const getCalls = ['gettoken', 'agent/get', 'externalcontact/get_follow_user_list'];
const postCalls = [
  'message/send',
  'message/recall',
  'webhook/send',
  ...customerCalls.map((call) => `externalcontact/${call}`),
];

/** Makes a provider that lives in memory; mount its `handle` under a path or on a port of its own. */
export function createWecomSimulator(options: WecomSimulatorOptions): WecomSimulator {
  const { corpId, apps } = options;
  // The desks are made after the provider whose books and clock they use.
  const serve = (call: ProviderCall, fault: FaultRule | undefined): ServedReply => {
    const action = actionOf(call);
    if (getCalls.includes(action)) {
      if (call.method !== 'GET') return refuse(43001, 'require GET method');
    } else if (postCalls.includes(action)) {
      if (call.method !== 'POST') return refuse(43002, 'require POST method');
      // None is taken, as clients in use send none.
      if (!/^application\/json\b/.test(call.headers['content-type'] ?? 'application/json'))
        return refuse(47001, 'data format error');
    } else return { status: 404, code: '404', body: 'not found' };
    const raw = call.body.toString('utf8');
    if (action === 'gettoken') return tokens.issue(call.query);
    if (action === 'webhook/send') return robots.send(call.query.get('key'), raw, fault);
    const settings = provider.settings();
    const app = tokens.appOf(call.query.get('access_token'));
    if (app.refusal !== undefined) {
      // A fault is for a message, not for the token before it: it waits for the next call.
      if (fault?.nextCalls !== undefined) provider.faults.add({ ...fault, nextCalls: 1 });
      return app.refusal;
    }
    if (!settings.isIpAllowed) return refuse(60020, 'not allow to access from your ip');
    if (action !== 'message/send' && penalties.isBlocked(action, settings))
      return refuse(45009, 'api freq out of limit');
    return perform(action, { app: app.value, raw, query: call.query }, fault);
  };
  const perform = (
    action: string,
    { app, raw, query }: { app: WecomApp; raw: string; query: URLSearchParams },
    fault: FaultRule | undefined,
  ): ServedReply => {
    if (action === 'message/send') return messages.send(app, raw, fault);
    if (action === 'message/recall') return messages.recall(app, raw);
    if (action === 'agent/get')
      return query.get('agentid') === String(app.agentId)
        ? done({ agentid: app.agentId, name: 'Message Center' })
        : refuse(301002, 'not allow operate another agent with this accesstoken');
    if (!app.hasCustomers) return refuse(48002, 'api forbidden');
    return customers.call(action.replace('externalcontact/', ''), raw, fault);
  };

  const provider = createProvider({
    name,
    seed: options.seed,
    settingsSchema: WecomSettingsSchema,
    settings: { ...defaultWecomSettings, ...options.settings },
    describe: (call) => ({ action: actionOf(call), to: addressesOf(call) }),
    serve,
    errorReply: ({ status = 503, code = '-1', message = 'system busy' }) => ({
      status,
      body: JSON.stringify({ errcode: Number(code), errmsg: message }),
    }),
    onReset: () => {
      for (const desk of [tokens, messages, robots, customers, penalties]) desk.clear();
    },
    routes: [
      controlRoute({
        method: 'POST',
        path: `/${name}/tokens/revoke`,
        handle: () => tokens.revoke(),
      }),
      controlRoute({
        method: 'PUT',
        path: `/${name}/robots`,
        body: Type.Object(
          { group: Type.String({ minLength: 1 }), key: Type.String({ minLength: 1 }) },
          { additionalProperties: false },
        ),
        handle: ({ body }) => robots.add(body.group, body.key),
      }),
      controlRoute({
        method: 'GET',
        path: `/${name}/dropped`,
        handle: () => ({ count: messages.dropped.length, entries: messages.dropped.slice(-100) }),
      }),
      controlRoute({
        method: 'POST',
        path: `/${name}/tasks/confirm`,
        handle: ({ query }) => ({ confirmed: customers.confirm(query.get('ref') ?? undefined) }),
      }),
    ],
  });
  const settings = () => provider.settings();
  const now = () => provider.now();
  const tokens = createTokenDesk({ corpId, apps, settings, now, random: provider.random });
  const messages = createMessageDesk({ books: provider, settings, now });
  const customers = createCustomerDesk({ books: provider, settings, now });
  const robots = createRobotDesk({ books: provider, robots: options.robots, settings, now });
  const penalties = createPenalties(now);

  /** Members, customers, or the group: by these, faults are chosen. */
  function addressesOf(call: ProviderCall): readonly string[] {
    const action = actionOf(call);
    try {
      const body = JSON.parse(call.body.toString('utf8')) as Readonly<Record<string, unknown>>;
      // A message of no type is a question whether the key is good, and goes to nobody.
      if (action === 'webhook/send')
        return body['msgtype'] === 'none' ? [] : [robots.groupOf(call.query.get('key')) ?? ''];
      const { touser, external_userid: ids } = body;
      if (action === 'message/send') return typeof touser === 'string' ? touser.split('|') : [];
      return Array.isArray(ids) ? ids.map(String) : [];
    } catch {
      return [];
    }
  }

  return {
    ...provider,
    revokeTokens: () => tokens.revoke(),
    dropped: () => messages.dropped.length,
    confirmTasks: (ref) => customers.confirm(ref),
    awaitingTasks: (ref) => customers.awaiting(ref),
    close: async () => customers.clear(),
  };
}

/** `/cgi-bin/message/send` → `message/send`. */
const actionOf = ({ path }: ProviderCall) => path.replace(/^\/cgi-bin\//, '');
