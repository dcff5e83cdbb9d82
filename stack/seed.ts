/** The demo tenant: a key, templates, and a channel account for every channel, pointing at the sandbox. */
import { demoChannels, type DemoChannel } from '../channels/demo.ts';
import type { AccountEdit, TemplateEdit } from '../contracts/template.ts';
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore, type Store } from '../store/index.ts';

export const demoTenant = 'demo';

/** Templates over what the sandbox's providers have registered; tests use them, too. */
export const demoTemplates: readonly TemplateEdit[] = [
  {
    name: 'login-code',
    kind: 'otp',
    description: 'One-time password for signing in.',
    variables: { code: { type: 'string', maxLength: 8 } },
    contents: {
      'sms-aliyun': {
        signName: '消息中心',
        templateCode: 'SMS_1001',
        params: { code: '{{code}}' },
        text: '您的验证码是{{code}}，5分钟内有效。',
      },
    },
  },
  {
    name: 'order-shipped',
    kind: 'notice',
    description: 'An order has left the warehouse.',
    variables: { orderId: { type: 'string', maxLength: 32 } },
    contents: {
      'sms-aliyun': {
        signName: '消息中心',
        templateCode: 'SMS_1002',
        params: { orderId: '{{orderId}}' },
        text: '您的订单{{orderId}}已发货。',
      },
    },
    isSearchable: true,
  },
  {
    name: 'plain-notice',
    kind: 'notice',
    description: 'Any text, through any channel: the address of the message says which.',
    variables: { text: { type: 'string' } },
    contents: Object.fromEntries(
      demoChannels.map(({ connector, plainNotice }) => [connector, plainNotice]),
    ),
    isSearchable: true,
  },
];

/** Where simulators listen, and the token in the addresses of receipts that are not signed. */
export interface SandboxAddresses {
  readonly urlOf: (simulator: string) => string;
  readonly receiptToken: string;
}

/** The account of a demo channel. */
export function demoAccount(demo: DemoChannel, at: SandboxAddresses): AccountEdit {
  const { urlOf, receiptToken } = at;
  return {
    name: `sandbox-${demo.connector}`,
    connector: demo.connector,
    ...demo.account({ url: urlOf(demo.simulator), receiptToken }),
    ratePerSecond: demo.ratePerSecond,
    isSandbox: true,
  };
}

/** Simulator → where it pushes receipts, for the accounts of these demo channels. */
export function receiptUrls(
  apiUrl: string,
  accountIds: ReadonlyMap<string, string>,
  receiptToken: string,
): Record<string, string> {
  return Object.fromEntries(
    demoChannels.flatMap(({ connector, simulator, receiptTarget = simulator }) => {
      const id = accountIds.get(connector);
      const url = `${apiUrl}/v1/receipts/${connector}/${id}?token=${receiptToken}`;
      return id === undefined ? [] : [[receiptTarget, url]];
    }),
  );
}

/** Makes the templates and accounts that are missing; resolves with connector → account id. Errors: the database does not answer. */
export async function seedTenant(
  store: Store,
  tenantId: string,
  at: SandboxAddresses,
): Promise<ReadonlyMap<string, string>> {
  const page = { limit: 100 };
  const templates = await store.templates.list(tenantId, page);
  for (const template of demoTemplates)
    if (!templates.some(({ name }) => name === template.name))
      await store.templates.create(tenantId, template);
  const accounts = await store.channelAccounts.list(tenantId, page);
  const ids = new Map<string, string>();
  for (const demo of demoChannels) {
    const edit = demoAccount(demo, at);
    const channel = demo.connector.split('-', 1)[0] ?? demo.connector;
    const account =
      accounts.find(({ name }) => name === edit.name) ??
      (await store.channelAccounts.create({ tenantId, channel, edit }));
    ids.set(demo.connector, account.id);
  }
  return ids;
}

/** A new key of the demo tenant; those of this name that nobody has any more are revoked. */
async function replaceKey(store: Store, name: string) {
  for (const key of await store.apiKeys.list(demoTenant))
    if (key.name === name && key.revokedAt === undefined)
      await store.apiKeys.revoke(demoTenant, key.id);
  return store.apiKeys.create(demoTenant, { name });
}

/** Makes what is missing of the demo tenant; gives a new API key when `wantsKey`. Errors: the database does not answer. */
export async function seedDemo(
  config: Config,
  options: SandboxAddresses & { readonly logger: Logger; readonly wantsKey: boolean },
): Promise<{ key?: string; accountIds: ReadonlyMap<string, string> }> {
  const store = createStore({
    mysqlUrl: config.mysqlUrl,
    sealer: createSealer(config.masterKeys),
    slots: config.slots,
    logger: options.logger,
  });
  try {
    await store.tenants.ensure(demoTenant, 'Demo');
    const accountIds = await seedTenant(store, demoTenant, options);
    const made = options.wantsKey ? await replaceKey(store, 'npm start') : undefined;
    return { accountIds, ...(made !== undefined && { key: made.key }) };
  } finally {
    await store.close();
  }
}
