/**
 * WeCom (Enterprise WeChat), channel `wecom`: members by an app (`wecom-app`), customers by an employee's hand
 * (`wecom-customer`), groups by their robot (`wecom-robot`). docs/channels/wecom.md explains them.
 */
import type { AccountAccess, Connector, RecipientWindow } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import { checkAccount } from '../kit/check-account.ts';
import { AppSecretsSchema, callTimeoutMs, type WecomDeps } from './api.ts';
import { AppSettingsSchema, createWecomAppClient, maxBatch, recallWithinMs } from './app-client.ts';
import { appContentText, AppContentSchema, appTexts, dedupeWindowMs } from './app-message.ts';
import {
  createWecomCustomerClient,
  CustomerSettingsSchema,
  stopWithinMs,
} from './customer-client.ts';
import { CustomerContentSchema, customerContentText, customerTexts } from './customer-message.ts';
import { lintTexts } from './lint.ts';
import {
  createWecomRobotClient,
  robotAddressFault,
  RobotContentSchema,
  robotContentText,
  RobotSecretsSchema,
  RobotSettingsSchema,
  robotTexts,
} from './robot-client.ts';

const forAllKinds = (...windows: readonly RecipientWindow[]) => ({
  otp: windows,
  notice: windows,
  marketing: windows,
});
const hourMs = 3_600_000;
const attemptBudget = 8;

/** Messages to members. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createWecomApp(deps: WecomDeps): Connector {
  const schemas = { settingsSchema: AppSettingsSchema, secretsSchema: AppSecretsSchema };
  return {
    ...schemas,
    name: 'wecom-app',
    channel: 'wecom',
    addressKinds: ['wecomUserId'],
    capabilities: {
      dedupe: { by: 'key', windowMs: dedupeWindowMs },
      caveat:
        'a text may be repeated only as long as WeCom compares whole requests (not verified); cards always',
      receipts: 'none',
      askReceiptsAfterMs: [],
      canReconcile: false,
      reconcileAfterMs: 2000,
      recallWithinMs,
      batch: { maxMessages: maxBatch, content: 'same' },
      callTimeoutMs,
      attemptBudget,
      // What is beyond them WeCom drops without a word, so nobody but us can hold it back.
      recipientWindows: forAllKinds(
        { count: 30, windowSeconds: 60 },
        { count: 1000, windowSeconds: 3600 },
      ),
    },
    contentSchema: AppContentSchema,
    contentText: appContentText,
    lint: lintTexts(appTexts),
    addressFault: (to) =>
      addressAs('wecomUserId', to) === undefined ? 'is not a member of a corporation' : undefined,
    createClient: (account: AccountAccess) =>
      createWecomAppClient(checkAccount('wecom-app', schemas, account), deps),
  };
}

/** Messages to customers, which an employee must confirm. Errors as above. */
export function createWecomCustomer(deps: WecomDeps): Connector {
  const schemas = { settingsSchema: CustomerSettingsSchema, secretsSchema: AppSecretsSchema };
  return {
    ...schemas,
    name: 'wecom-customer',
    channel: 'wecom',
    addressKinds: ['externalUserId'],
    capabilities: {
      dedupe: { by: 'none' },
      caveat: 'with a link in the content; tasks of text alone cannot always be told apart',
      receipts: 'pull',
      askReceiptsAfterMs: [hourMs, 6 * hourMs, 24 * hourMs, 72 * hourMs],
      canReconcile: true,
      reconcileAfterMs: 10_000,
      recallWithinMs: stopWithinMs,
      callTimeoutMs,
      attemptBudget,
      // As many in a calendar month as it has days: 28 in 31 days fit into every one of them.
      recipientWindows: forAllKinds({ count: 28, windowSeconds: 31 * 86_400 }),
    },
    contentSchema: CustomerContentSchema,
    contentText: customerContentText,
    lint: lintTexts(customerTexts),
    addressFault: (to) =>
      addressAs('externalUserId', to) === undefined ? 'is not a customer' : undefined,
    createClient: (account: AccountAccess) =>
      createWecomCustomerClient(checkAccount('wecom-customer', schemas, account), deps),
  };
}

/** Messages to groups through their robots. Errors as above. */
export function createWecomRobot(deps: WecomDeps): Connector {
  const schemas = { settingsSchema: RobotSettingsSchema, secretsSchema: RobotSecretsSchema };
  return {
    ...schemas,
    name: 'wecom-robot',
    channel: 'wecom',
    addressKinds: ['group'],
    capabilities: {
      dedupe: { by: 'none' },
      receipts: 'none',
      askReceiptsAfterMs: [],
      hasCredentialsPerRecipient: true,
      canReconcile: false,
      reconcileAfterMs: 5000,
      recallWithinMs: 0,
      callTimeoutMs,
      attemptBudget,
      // WeCom allows 20; others may use the same robot.
      recipientWindows: forAllKinds({ count: 18, windowSeconds: 60 }),
    },
    contentSchema: RobotContentSchema,
    contentText: robotContentText,
    lint: lintTexts(robotTexts),
    addressFault: robotAddressFault,
    createClient: (account: AccountAccess) =>
      createWecomRobotClient(checkAccount('wecom-robot', schemas, account), deps),
  };
}
