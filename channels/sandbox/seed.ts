/** What every sandbox knows from the start: one account, one signature, three templates. No secret is real. */
import type { SmsAliyunSimulatorOptions } from '../sms-aliyun/simulator.ts';

export const sandboxSmsAliyun = {
  credentials: { sandbox: 'sandbox-secret' },
  signatures: ['消息中心'],
  templates: [
    { templateCode: 'SMS_1001', text: '您的验证码是${code}，5分钟内有效。', kind: 'otp' },
    { templateCode: 'SMS_1002', text: '您的订单${orderId}已发货。', kind: 'notice' },
    { templateCode: 'SMS_1003', text: '${text}', kind: 'notice' },
  ],
} as const satisfies SmsAliyunSimulatorOptions;
