/** Notifications on Android and iOS through JPush (Jiguang): the connector `push-jpush`. docs/channels/push-jpush.md explains it. */
import type { AccountAccess, Connector, ProviderTokens } from '../../contracts/channel.ts';
import type { LintSamples } from '../../contracts/template-lint.ts';
import { checkAccount } from '../kit/check-account.ts';
import { lintPush, longestDeliveryKey } from '../kit/lint-sizes.ts';
import {
  addressFault,
  callTimeoutMs,
  createPushJpushClient,
  SecretsSchema,
  SettingsSchema,
} from './client.ts';
import {
  ContentSchema,
  maxAndroidBytes,
  maxIosBytes,
  partBytes,
  type JpushContent,
} from './message.ts';

interface PushJpushDeps {
  /** Whether the base URLs may lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/**
 * A delivery keeps its cid for at least 22 hours and 20 minutes from its first attempt. So a repeat within 12 hours of a
 * lost answer has the same one, where that attempt came within ten hours of the first.
 */
const dedupeWindowMs = 12 * 3_600_000;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createPushJpush(deps: PushJpushDeps): Connector {
  const { allowPrivateProviders, tokens, now = Date.now, random = Math.random } = deps;
  const checked = (account: AccountAccess) =>
    checkAccount(
      'push-jpush',
      { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
      account,
    );
  return {
    name: 'push-jpush',
    channel: 'push',
    addressKinds: ['userId', 'deviceToken'],
    hasDevices: true,
    capabilities: {
      dedupe: { by: 'key', windowMs: dedupeWindowMs },
      receipts: 'pull',
      askReceiptsAfterMs: [300_000, 3_600_000],
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs: 0,
      batch: { maxMessages: 1000, content: 'same' },
      callTimeoutMs,
      attemptBudget: 8,
      recipientWindows: { otp: [], notice: [], marketing: [] },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText: (content) => {
      const { title, body } = content as JpushContent;
      return `${title}\n${body}`;
    },
    lint: (samples) =>
      lintPush(samples as LintSamples<JpushContent>, [
        {
          what: 'bytes of the iOS part',
          of: (content) => partBytes('ios', content, longestDeliveryKey),
          limit: maxIosBytes,
        },
        {
          what: 'bytes of the Android part',
          of: (content) => partBytes('android', content, longestDeliveryKey),
          limit: maxAndroidBytes,
        },
      ]),
    addressFault,
    createClient: (account) =>
      createPushJpushClient({
        account: checked(account),
        allowPrivateProviders,
        tokens,
        now,
        random,
      }),
  };
}
