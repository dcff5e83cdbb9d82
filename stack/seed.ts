/** The demo tenant: a key, templates, and a channel account that points at the sandbox. */
import type { Config } from '../platform/config.ts';
import type { Logger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';

export const demoTenant = 'demo';
export const demoAccount = 'sandbox-sms';

/** Templates over what the sandbox's provider has registered; tests use them, too. */
export const demoTemplates = [
  {
    name: 'login-code',
    kind: 'otp' as const,
    description: 'One-time password for signing in.',
    variables: { code: { type: 'string' as const, maxLength: 8 } },
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
    kind: 'notice' as const,
    description: 'An order has left the warehouse.',
    variables: { orderId: { type: 'string' as const, maxLength: 32 } },
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
    kind: 'notice' as const,
    description: 'Any text.',
    variables: { text: { type: 'string' as const } },
    contents: {
      'sms-aliyun': {
        signName: '消息中心',
        templateCode: 'SMS_1003',
        params: { text: '{{text}}' },
        text: '{{text}}',
      },
    },
    isSearchable: true,
  },
];

/** Makes what is missing of the demo tenant; gives a new API key when `wantsKey`. Errors: the database does not answer. */
export async function seedDemo(
  config: Config,
  options: {
    readonly logger: Logger;
    readonly receiptToken: string;
    readonly wantsKey: boolean;
    readonly sandboxUrl: string;
  },
): Promise<{ key?: string; accountId: string }> {
  const store = createStore({
    mysqlUrl: config.mysqlUrl,
    sealer: createSealer(config.masterKeys),
    slots: config.slots,
    logger: options.logger,
  });
  try {
    await store.tenants.ensure(demoTenant, 'Demo');
    const page = { limit: 100 };
    const known = await store.templates.list(demoTenant, page);
    for (const template of demoTemplates)
      if (!known.some((item) => item.name === template.name))
        await store.templates.create(demoTenant, template);
    const account =
      (await store.channelAccounts.list(demoTenant, page)).find(
        (item) => item.name === demoAccount,
      ) ??
      (await store.channelAccounts.create({
        tenantId: demoTenant,
        channel: 'sms',
        edit: {
          name: demoAccount,
          connector: 'sms-aliyun',
          settings: { endpoint: options.sandboxUrl },
          secrets: {
            accessKeyId: 'sandbox',
            accessKeySecret: 'sandbox-secret',
            receiptToken: options.receiptToken,
          },
          ratePerSecond: 200,
        },
      }));
    const made = options.wantsKey ? await store.apiKeys.create(demoTenant, 'npm start') : undefined;
    return { accountId: account.id, ...(made !== undefined && { key: made.key }) };
  } finally {
    await store.close();
  }
}
