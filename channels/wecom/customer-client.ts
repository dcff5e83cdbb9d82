/**
 * The live client of customer messages: a task that an employee must confirm before the customer gets anything
 * (externalcontact/add_msg_template), and what can be asked about it.
 */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, SentMessage } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import {
  BaseUrlSchema,
  callTimeoutMs,
  CorpIdSchema,
  createWecomApi,
  harmless,
  type AppSecretsSchema,
  type WecomDeps,
} from './api.ts';
import { customerCodes } from './classify.ts';
import {
  customerMessageBody,
  customerContentFault,
  MemberSchema,
  type CustomerContent,
} from './customer-message.ts';
import { inLanes } from './lanes.ts';
import { createTaskBooks, type TaskCall } from './customer-tasks.ts';

export const CustomerSettingsSchema = Type.Object(
  {
    corpId: CorpIdSchema,
    sender: Type.Optional(
      Type.String({
        ...MemberSchema,
        description:
          'Member who gets the tasks where the content names none; without one WeCom takes who last wrote with the customer.',
        examples: ['zhangsan'],
      }),
    ),
    baseUrl: BaseUrlSchema,
  },
  { additionalProperties: false, description: 'Customer contact of a corporation.' },
);

type Settings = Static<typeof CustomerSettingsSchema>;
type Secrets = Static<typeof AppSecretsSchema>;

/** How long a task can be stopped; ours, for WeCom names no end. */
export const stopWithinMs = 7 * 86_400_000;

/** Opens the connections of one account. `send` makes one task for one customer. */
export function createWecomCustomerClient(
  account: AccountAccess<Settings, Secrets>,
  deps: WecomDeps,
): ConnectorClient<CustomerContent> {
  const { corpId, sender, baseUrl } = account.settings;
  const { now = Date.now } = deps;
  const api = createWecomApi({
    accountId: account.id,
    use: 'wecom-customer',
    baseUrl,
    corpId,
    secrets: account.secrets,
    own: customerCodes,
    deps,
  });
  const call: TaskCall = (name, body, { signal, to = [] }) =>
    api.call({
      method: 'POST',
      path: `/cgi-bin/externalcontact/${name}`,
      body: JSON.stringify(body),
      signal,
      to,
    });
  const books = createTaskBooks(call, { now });

  return {
    send: async ({ to, content, deliveryKey, signal }) => {
      const customer = addressAs('externalUserId', to);
      if (customer === undefined)
        return { class: 'recipient-invalid', providerMessage: 'is not a customer' };
      const fault = customerContentFault(content);
      if (fault !== undefined) return { class: 'content-rejected', providerMessage: fault };
      const body = customerMessageBody({ customer, content, sender, deliveryKey });
      const { outcome, body: answer } = await call('add_msg_template', body, { signal, to: [to] });
      if (outcome.class !== 'accepted') return outcome;
      if (answer?.fail_list?.includes(customer) === true)
        return {
          class: 'recipient-invalid',
          providerCode: 'fail_list',
          providerMessage: 'no customer of this corporation, or cannot be written to',
        };
      // A task without an id is one nobody could ask about or stop; the books tell whether there is one.
      return outcome.providerId === '' ? { class: 'ambiguous', providerCode: '0' } : outcome;
    },
    reconcile: ({ to, deliveryKey, sentAt, signal }) => {
      const sentAtMs = Date.parse(sentAt);
      const customer = addressAs('externalUserId', to) ?? '';
      return books.find({
        customer,
        deliveryKey,
        sentAtMs,
        lastMs: sentAtMs + callTimeoutMs,
        signal,
      });
    },
    askReceipts: async (messages, signal) =>
      (await inLanes(messages, (each) => books.receiptOf(withCustomer(each), signal))).flat(),
    recall: async ({ providerId, to, signal }) => {
      if (providerId === undefined)
        return {
          class: 'content-rejected',
          providerMessage: 'the answer with its id was lost, and nothing else names the task',
        };
      const { outcome } = await call(
        'cancel_groupmsg_send',
        { msgid: providerId },
        { signal, to: [to] },
      );
      return outcome.class === 'accepted' ? { ...outcome, providerId } : outcome;
    },
    verify: async (signal) => {
      const path = '/cgi-bin/externalcontact/get_follow_user_list';
      return harmless(await api.call({ method: 'GET', path, signal }));
    },
    close: () => api.close(),
  };
}

const withCustomer = (message: SentMessage) => ({
  ...message,
  customer: addressAs('externalUserId', message.to) ?? '',
});
