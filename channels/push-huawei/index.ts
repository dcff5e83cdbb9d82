/** Push through Huawei Push Kit (HarmonyOS 5 and later): the connector `push-huawei`. docs/channels/push-huawei.md explains it. */
import type { AccountAccess, Connector, ProviderTokens } from '../../contracts/channel.ts';
import type { LintSamples } from '../../contracts/template-lint.ts';
import { checkAccount } from '../kit/check-account.ts';
import { lintPush, longestDeliveryKey } from '../kit/lint-sizes.ts';
import {
  callTimeoutMs,
  createHuaweiClient,
  maxTokens,
  recallWithinMs,
  SecretsSchema,
  SettingsSchema,
} from './client.ts';
import {
  bodyBytes,
  ContentSchema,
  maxBodyBytes,
  singleIds,
  type HuaweiContent,
} from './message.ts';
import { parseReceipts } from './receipts.ts';

export interface PushHuaweiDeps {
  /** Whether an account may point at loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** What one device takes of one app in a day; beyond it Huawei says 80000000 and drops the message (receipts 102, 256). */
const deviceLimit = { count: 3000, windowSeconds: 86_400 } as const;
/** Five for news apps, two for the others, which only Huawei can tell apart. */
const marketingLimit = { count: 5, windowSeconds: 86_400 } as const;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createPushHuawei(deps: PushHuaweiDeps): Connector {
  const { allowPrivateProviders, tokens, now = Date.now, random = Math.random } = deps;
  return {
    name: 'push-huawei',
    channel: 'push',
    addressKinds: ['userId', 'deviceToken'],
    hasDevices: true,
    capabilities: {
      dedupe: { by: 'overwrite' },
      receipts: 'push',
      askReceiptsAfterMs: [],
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs,
      batch: { maxMessages: maxTokens, content: 'same' },
      callTimeoutMs,
      attemptBudget: 8,
      recipientWindows: {
        otp: [deviceLimit],
        notice: [deviceLimit],
        marketing: [marketingLimit],
      },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText: (content) => {
      const { title, body } = content as HuaweiContent;
      return `${title}\n${body}`;
    },
    lint: (samples) =>
      lintPush(samples as LintSamples<HuaweiContent>, [
        {
          what: 'payload bytes',
          of: (content) => bodyBytes(content, singleIds(longestDeliveryKey)),
          limit: maxBodyBytes,
        },
      ]),
    addressFault: () => undefined,
    createClient: (account) =>
      createHuaweiClient({
        account: checked(account),
        allowPrivateProviders,
        tokens,
        now,
        random,
      }),
    parseReceipts: (request, account) => {
      const { settings, secrets } = checked(account);
      const { callbackUser = '' } = settings;
      return parseReceipts(request, { callbackUser, callbackKey: secrets.callbackKey, now });
    },
  };
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'push-huawei',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
