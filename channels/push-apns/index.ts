/** Notifications on Apple devices: the connector `push-apns`. docs/channels/push-apns.md explains it. */
import type { AccountAccess, Connector, ProviderTokens } from '../../contracts/channel.ts';
import type { LintSamples } from '../../contracts/template-lint.ts';
import { checkAccount } from '../kit/check-account.ts';
import { lintPush, longestDeliveryKey } from '../kit/lint-sizes.ts';
import {
  addressFault,
  callTimeoutMs,
  createPushApnsClient,
  SecretsSchema,
  SettingsSchema,
} from './client.ts';
import { ContentSchema, maxPayloadBytes, notificationJson, type PushContent } from './message.ts';

interface PushApnsDeps {
  /** Whether `baseUrl` may be http:// and lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createPushApns(deps: PushApnsDeps): Connector {
  const { allowPrivateProviders, tokens, now = Date.now, random = Math.random } = deps;
  const checked = (account: AccountAccess) =>
    checkAccount(
      'push-apns',
      { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
      account,
    );
  return {
    name: 'push-apns',
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
      // Apple publishes none: it answers TooManyRequests for a device that gets too many.
      recipientWindows: { otp: [], notice: [], marketing: [] },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText: (content) => {
      const { title, body } = content as PushContent;
      return `${title}\n${body}`;
    },
    lint: (samples) =>
      lintPush(samples as LintSamples<PushContent>, [
        {
          what: 'payload bytes',
          of: (content) => Buffer.byteLength(notificationJson(content, longestDeliveryKey)),
          limit: maxPayloadBytes,
        },
      ]),
    addressFault,
    createClient: (account) =>
      createPushApnsClient({
        account: checked(account),
        allowPrivateProviders,
        tokens,
        now,
        random,
      }),
  };
}
