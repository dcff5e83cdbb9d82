/** Push through Firebase Cloud Messaging: the connector `push-fcm`. docs/channels/push-fcm.md explains it. */
import type { AccountAccess, Connector, ProviderTokens } from '../../contracts/channel.ts';
import type { LintSamples } from '../../contracts/template-lint.ts';
import { checkAccount } from '../kit/check-account.ts';
import { lintPush, longestDeliveryKey } from '../kit/lint-sizes.ts';
import { callTimeoutMs, createFcmClient, SecretsSchema, SettingsSchema } from './client.ts';
import { ContentSchema, maxPayloadBytes, payloadBytes, type FcmContent } from './message.ts';

export interface PushFcmDeps {
  /** Whether an account may point at loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** FCM's own limits for one Android device, whatever the message (docs/cloud-messaging/throttling-and-quotas). */
const deviceLimits = [
  { count: 240, windowSeconds: 60 },
  { count: 5000, windowSeconds: 3600 },
] as const;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createPushFcm(deps: PushFcmDeps): Connector {
  const { allowPrivateProviders, tokens, now = Date.now, random = Math.random } = deps;
  return {
    name: 'push-fcm',
    channel: 'push',
    addressKinds: ['userId', 'deviceToken'],
    hasDevices: true,
    capabilities: {
      dedupe: { by: 'overwrite' },
      receipts: 'none',
      askReceiptsAfterMs: [],
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs: 0,
      callTimeoutMs,
      attemptBudget: 8,
      recipientWindows: { otp: deviceLimits, notice: deviceLimits, marketing: deviceLimits },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText: (content) => {
      const { title, body } = content as FcmContent;
      return `${title}\n${body}`;
    },
    lint: (samples) =>
      lintPush(samples as LintSamples<FcmContent>, [
        {
          what: 'payload bytes',
          of: (content) => payloadBytes(content, longestDeliveryKey),
          limit: maxPayloadBytes,
        },
      ]),
    addressFault: () => undefined,
    createClient: (account) =>
      createFcmClient({
        account: checked(account),
        allowPrivateProviders,
        tokens,
        now,
        random,
      }),
  };
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'push-fcm',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
