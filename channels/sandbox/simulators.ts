/** Every simulated provider there is: one line each, under the name by which tests and the sandbox know it. */
import { sandboxEmailSmtp } from '../email-smtp/demo.ts';
import { createEmailSmtpSimulator } from '../email-smtp/simulator.ts';
import { sandboxPushApns } from '../push-apns/demo.ts';
import { createPushApnsSimulator } from '../push-apns/simulator.ts';
import { sandboxPushFcm } from '../push-fcm/demo.ts';
import { createPushFcmSimulator } from '../push-fcm/simulator.ts';
import { sandboxPushHuawei } from '../push-huawei/demo.ts';
import { createPushHuaweiSimulator } from '../push-huawei/simulator.ts';
import { sandboxPushJpush } from '../push-jpush/demo.ts';
import { createPushJpushSimulator } from '../push-jpush/simulator.ts';
import { sandboxRobotDingtalk } from '../robot-dingtalk/demo.ts';
import { createRobotDingtalkSimulator } from '../robot-dingtalk/simulator.ts';
import { sandboxRobotFeishu } from '../robot-feishu/demo.ts';
import { createRobotFeishuSimulator } from '../robot-feishu/simulator.ts';
import { sandboxSmsAliyun } from '../sms-aliyun/demo.ts';
import {
  createSmsAliyunSimulator,
  type SmsAliyunSimulatorOptions,
} from '../sms-aliyun/simulator.ts';
import { sandboxWebhookStandard } from '../webhook-standard/demo.ts';
import { createWebhookStandardSimulator } from '../webhook-standard/simulator.ts';
import { sandboxWechat } from '../wechat/demo.ts';
import { createWechatSimulator } from '../wechat/simulator.ts';
import { sandboxWecom } from '../wecom/demo.ts';
import { createWecomSimulator } from '../wecom/simulator.ts';

export interface SimulatorsOptions {
  readonly seed: number;
  /** Simulated seconds in a real one. */
  readonly clockScale?: number | undefined;
  /** Over what the demo account needs. */
  readonly smsAliyun?: SmsAliyunSimulatorOptions | undefined;
}

export type Simulators = ReturnType<typeof createSimulators>;

/** Makes them all, with the credentials that the demo accounts use. */
export function createSimulators(options: SimulatorsOptions) {
  const { seed, clockScale } = options;
  const settings = clockScale === undefined ? {} : { clockScale };
  return {
    emailSmtp: createEmailSmtpSimulator({
      ...sandboxEmailSmtp,
      seed,
      settings,
    }),
    pushApns: createPushApnsSimulator({ ...sandboxPushApns, seed, settings }),
    pushFcm: createPushFcmSimulator({ ...sandboxPushFcm, seed, settings }),
    pushHuawei: createPushHuaweiSimulator({
      ...sandboxPushHuawei,
      seed,
      settings,
    }),
    pushJpush: createPushJpushSimulator({
      ...sandboxPushJpush,
      seed,
      settings,
    }),
    robotDingtalk: createRobotDingtalkSimulator({
      ...sandboxRobotDingtalk,
      seed,
      settings,
    }),
    robotFeishu: createRobotFeishuSimulator({
      ...sandboxRobotFeishu,
      seed,
      settings,
    }),
    smsAliyun: createSmsAliyunSimulator({
      ...sandboxSmsAliyun,
      seed,
      ...options.smsAliyun,
      settings: { ...settings, ...options.smsAliyun?.settings },
    }),
    webhookStandard: createWebhookStandardSimulator({
      ...sandboxWebhookStandard,
      seed,
      settings,
    }),
    wechat: createWechatSimulator({
      ...sandboxWechat,
      seed,
      settings,
    }),
    wecom: createWecomSimulator({ ...sandboxWecom, seed, settings }),
  };
}
