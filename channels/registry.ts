/** Every connector there is. A new channel is its folder and one line here. */
import type { Connector, ProviderTokens } from '../contracts/channel.ts';
import type { InboxWriter } from '../contracts/inbox.ts';
import { createEmailSmtp } from './email-smtp/index.ts';
import { createInboxBuiltin } from './inbox-builtin/index.ts';
import { createPushApns } from './push-apns/index.ts';
import { createPushFcm } from './push-fcm/index.ts';
import { createPushHuawei } from './push-huawei/index.ts';
import { createPushJpush } from './push-jpush/index.ts';
import { createRobotDingtalk } from './robot-dingtalk/index.ts';
import { createRobotFeishu } from './robot-feishu/index.ts';
import { createSmsAliyun } from './sms-aliyun/index.ts';
import { createWebhookStandard } from './webhook-standard/index.ts';
import {
  createWechatMiniprogram,
  createWechatSubscribe,
  createWechatTemplate,
} from './wechat/index.ts';
import { createWecomApp, createWecomCustomer, createWecomRobot } from './wecom/index.ts';

export interface ConnectorDeps {
  /** Whether channel accounts may point at loopback and private addresses, as the sandbox's do. */
  readonly allowPrivateProviders: boolean;
  /** Tokens shared with the other processes. */
  readonly tokens: ProviderTokens;
  /** Where inbox items are kept. */
  readonly inbox: InboxWriter;
}

/** All connectors by name (`sms-aliyun`). Cheap: connections are made by `createClient` only. */
export function createConnectors(deps: ConnectorDeps): ReadonlyMap<string, Connector> {
  const connectors = [
    createInboxBuiltin(deps),
    createSmsAliyun(deps),
    createEmailSmtp(deps),
    createPushApns(deps),
    createPushFcm(deps),
    createPushHuawei(deps),
    createPushJpush(deps),
    createWechatTemplate(deps),
    createWechatSubscribe(deps),
    createWechatMiniprogram(deps),
    createWecomApp(deps),
    createWecomCustomer(deps),
    createWecomRobot(deps),
    createRobotDingtalk(deps),
    createRobotFeishu(deps),
    createWebhookStandard(deps),
  ];
  return new Map(connectors.map((connector) => [connector.name, connector]));
}
