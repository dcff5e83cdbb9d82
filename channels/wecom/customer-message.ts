/** A customer message: its content, its limits, and the task that carries it. */
import { Type, type Static } from 'typebox';
import { markOf, markUrl, oversize, type LimitedTexts } from './mark.ts';

/** A member's id as `sender`. */
export const MemberSchema = { pattern: '^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$' } as const;

const text = (description: string, maxLength: number) =>
  Type.String({ minLength: 1, maxLength, description });

export const CustomerContentSchema = Type.Object(
  {
    text: text('What the customer reads. 4000 bytes once rendered.', 8000),
    link: Type.Optional(
      Type.Object(
        {
          title: text('128 bytes once rendered.', 1000),
          url: text('With http:// or https://; 2048 bytes once rendered.', 4000),
          description: Type.Optional(text('512 bytes once rendered.', 4000)),
          pictureUrl: Type.Optional(text('Picture of the card; 2048 bytes.', 4000)),
        },
        {
          additionalProperties: false,
          description:
            'A card below the text. With it, a task whose answer was lost is found again for sure.',
        },
      ),
    ),
    sender: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 500,
        description:
          "Member who is to confirm and send it; must have this customer as a contact. Default: the account's sender.",
        examples: ['{{salesperson}}'],
      }),
    ),
  },
  {
    additionalProperties: false,
    description: 'A message that an employee sends to a customer.',
    examples: [{ text: '{{name}}您好，您的合同将于{{date}}到期。', sender: '{{salesperson}}' }],
  },
);
export type CustomerContent = Static<typeof CustomerContentSchema>;

/** The texts with their limits. */
export function customerTexts({ text, link }: CustomerContent): LimitedTexts {
  return {
    text: { text, bytes: 4000 },
    'link.title': { text: link?.title, bytes: 128 },
    'link.description': { text: link?.description, bytes: 512 },
    'link.url': { text: link && markUrl(link.url, markOf('')), bytes: 2048 },
    'link.pictureUrl': { text: link?.pictureUrl, bytes: 2048 },
  };
}

/** What is too long or malformed, as a sentence. */
export function customerContentFault(content: CustomerContent): string | undefined {
  const fault = oversize(customerTexts(content));
  const { link, sender } = content;
  if (fault !== undefined) return fault;
  if (link !== undefined && !/^https?:\/\//.test(link.url))
    return 'link.url must begin with http:// or https://';
  // An empty or wrong sender must not fall back to somebody else.
  if (sender !== undefined && !new RegExp(MemberSchema.pattern).test(sender))
    return 'sender is not a member id';
  return undefined;
}

/** The body of add_msg_template for one customer. Its list of customers is never empty: that would mean all of them. */
export function customerMessageBody(message: {
  readonly customer: string;
  readonly content: CustomerContent;
  /** Where the content names none. */
  readonly sender: string | undefined;
  readonly deliveryKey: string;
}): Readonly<Record<string, unknown>> {
  const { text, link } = message.content;
  const sender = message.content.sender ?? message.sender;
  return {
    chat_type: 'single',
    external_userid: [message.customer],
    ...(sender !== undefined && { sender }),
    text: { content: text },
    ...(link !== undefined && {
      attachments: [
        {
          msgtype: 'link',
          link: {
            title: link.title,
            ...(link.pictureUrl !== undefined && { picurl: link.pictureUrl }),
            ...(link.description !== undefined && { desc: link.description }),
            url: markUrl(link.url, markOf(message.deliveryKey)),
          },
        },
      ],
    }),
  };
}

/** What people would read. */
export function customerContentText(content: unknown): string {
  const { text, link } = content as CustomerContent;
  return link === undefined ? text : `${text}\n${link.title}`;
}
