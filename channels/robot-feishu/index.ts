/** Group messages through Feishu (Lark) custom robots: the connector `robot-feishu`. docs/channels/robot-feishu.md explains it. */
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import type { LintSamples } from '../../contracts/template-lint.ts';
import { checkAccount } from '../kit/check-account.ts';
import { lintSizes } from '../kit/lint-sizes.ts';
import {
  addressFault,
  callTimeoutMs,
  ContentSchema,
  createFeishuClient,
  maxBodyBytes,
  messageBytes,
  SecretsSchema,
  SettingsSchema,
  type FeishuContent,
} from './client.ts';

export interface RobotFeishuDeps {
  /** Whether `baseUrl` may lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** The robot allows 5 a second and 100 a minute; the rest is left for others who use it, and for clocks that differ. */
const windows = [
  { count: 4, windowSeconds: 1 },
  { count: 90, windowSeconds: 60 },
] as const;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createRobotFeishu(deps: RobotFeishuDeps): Connector {
  const { allowPrivateProviders, now = Date.now, random = Math.random } = deps;
  return {
    name: 'robot-feishu',
    channel: 'robot',
    addressKinds: ['group'],
    capabilities: {
      dedupe: { by: 'none' },
      receipts: 'none',
      askReceiptsAfterMs: [],
      hasCredentialsPerRecipient: true,
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs: 0,
      callTimeoutMs,
      attemptBudget: 8,
      recipientWindows: { otp: windows, notice: windows, marketing: windows },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: ContentSchema,
    contentText,
    lint: (samples) =>
      lintSizes(samples as LintSamples<FeishuContent>, [
        { what: 'bytes', pointer: '', of: messageBytes, limit: maxBodyBytes },
      ]),
    addressFault,
    createClient: (account) =>
      createFeishuClient({ account: checked(account), allowPrivateProviders, now, random }),
  };
}

function contentText(content: unknown): string {
  const message = content as FeishuContent;
  if ('text' in message) return message.text;
  const { title, lines } = message.post;
  return [title, ...lines.map((line) => line.map(({ text }) => text).join(''))].join('\n');
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'robot-feishu',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
