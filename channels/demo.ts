/** The demo channels, in the order in which the demo's templates prefer them: one line each. */
import type { DemoChannel } from './demo-channel.ts';
import { demoEmailSmtp } from './email-smtp/demo.ts';
import { demoInboxBuiltin } from './inbox-builtin/demo.ts';
import { demoPushApns } from './push-apns/demo.ts';
import { demoPushFcm } from './push-fcm/demo.ts';
import { demoPushHuawei } from './push-huawei/demo.ts';
import { demoPushJpush } from './push-jpush/demo.ts';
import { demoRobotDingtalk } from './robot-dingtalk/demo.ts';
import { demoRobotFeishu } from './robot-feishu/demo.ts';
import { demoSmsAliyun } from './sms-aliyun/demo.ts';
import { demoWebhookStandard } from './webhook-standard/demo.ts';
import { demoWechatMiniprogram, demoWechatSubscribe, demoWechatTemplate } from './wechat/demo.ts';
import { demoWecomApp, demoWecomCustomer, demoWecomRobot } from './wecom/demo.ts';

export type { DemoChannel } from './demo-channel.ts';

export const demoChannels: readonly DemoChannel[] = [
  demoSmsAliyun,
  demoEmailSmtp,
  demoInboxBuiltin,
  demoWechatTemplate,
  demoWechatSubscribe,
  demoWechatMiniprogram,
  demoWecomApp,
  demoWecomCustomer,
  demoWecomRobot,
  demoPushApns,
  demoPushFcm,
  demoPushHuawei,
  demoPushJpush,
  demoRobotDingtalk,
  demoRobotFeishu,
  demoWebhookStandard,
];
