/** Group messages through DingTalk custom robots: the connector `robot-dingtalk`. docs/channels/robot-dingtalk.md explains it. */
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { checkAccount } from '../kit/check-account.ts';
import {
  addressFault,
  callTimeoutMs,
  ContentSchema,
  createDingtalkClient,
  SecretsSchema,
  SettingsSchema,
  type DingtalkContent,
} from './client.ts';

export interface RobotDingtalkDeps {
  /** Whether `baseUrl` may lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** The robot allows 20; who goes beyond is shut out for ten minutes, so two are left for others who use it. */
const windows = [{ count: 18, windowSeconds: 60 }] as const;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createRobotDingtalk(deps: RobotDingtalkDeps): Connector {
  const { allowPrivateProviders, now = Date.now, random = Math.random } = deps;
  return {
    name: 'robot-dingtalk',
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
    addressFault,
    createClient: (account) =>
      createDingtalkClient({ account: checked(account), allowPrivateProviders, now, random }),
  };
}

function contentText(content: unknown): string {
  const message = content as DingtalkContent;
  return 'text' in message ? message.text : `${message.markdown.title}\n${message.markdown.text}`;
}

const checked = (account: AccountAccess) =>
  checkAccount(
    'robot-dingtalk',
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
