/** Webhooks by the Standard Webhooks specification: the connector `webhook-standard`. docs/channels/webhook-standard.md explains it. */
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import type { LintSamples } from '../../contracts/template-lint.ts';
import { checkAccount } from '../kit/check-account.ts';
import { lintSizes } from '../kit/lint-sizes.ts';
import {
  addressFault,
  bodyBytes,
  callTimeoutMs,
  ContentSchema,
  createWebhookClient,
  maxBodyBytes,
  SecretsSchema,
  SettingsSchema,
  type WebhookContent,
} from './client.ts';

export interface WebhookStandardDeps {
  /** Whether endpoints may be plain http, and at loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
}

/** How long receivers are expected to remember the ids they have seen: the specification's whole schedule of repeats. */
const receiverRemembersMs = 3 * 86_400_000;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createWebhookStandard(deps: WebhookStandardDeps): Connector {
  const { allowPrivateProviders, now = Date.now } = deps;
  return {
    name: 'webhook-standard',
    channel: 'webhook',
    addressKinds: ['endpoint'],
    capabilities: {
      caveat: 'with a receiver that remembers webhook-id',
      dedupe: { by: 'key', windowMs: receiverRemembersMs },
      receipts: 'none',
      askReceiptsAfterMs: [],
      hasCredentialsPerRecipient: true,
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs: 0,
      callTimeoutMs,
      attemptBudget: 12,
      recipientWindows: { otp: [], notice: [], marketing: [] },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText,
    lint: (samples) =>
      lintSizes(samples as LintSamples<WebhookContent>, [
        { what: 'bytes', pointer: '', of: bodyBytes, limit: maxBodyBytes },
      ]),
    addressFault,
    createClient: (account) =>
      createWebhookClient({ account: checked(account), allowPrivateProviders, now }),
  };
}

function contentText(content: unknown): string {
  const { type, data } = content as WebhookContent;
  return [type, ...Object.values(data)].join(' ');
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'webhook-standard',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
