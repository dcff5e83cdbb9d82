/** The demo tenant's SMS account: what the sandbox's provider knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { SmsAliyunSimulatorOptions } from './simulator.ts';

export const sandboxSmsAliyun = {
  credentials: { sandbox: 'sandbox-secret' },
  signatures: ['消息中心'],
  templates: [
    { templateCode: 'SMS_1001', text: '您的验证码是${code}，5分钟内有效。', kind: 'otp' },
    { templateCode: 'SMS_1002', text: '您的订单${orderId}已发货。', kind: 'notice' },
    { templateCode: 'SMS_1003', text: '${text}', kind: 'notice' },
  ],
} as const satisfies SmsAliyunSimulatorOptions;

export const demoSmsAliyun: DemoChannel = {
  connector: 'sms-aliyun',
  simulator: 'sms-aliyun',
  account: ({ url, receiptToken }) => ({
    settings: { endpoint: url },
    secrets: { accessKeyId: 'sandbox', accessKeySecret: 'sandbox-secret', receiptToken },
  }),
  ratePerSecond: 200,
  plainNotice: {
    signName: '消息中心',
    templateCode: 'SMS_1003',
    params: { text: '{{text}}' },
    text: '{{text}}',
  },
  // Not the number of the curl line that `npm start` prints: its message would wait until this one's window is over.
  to: { phone: '13900009999' },
};
