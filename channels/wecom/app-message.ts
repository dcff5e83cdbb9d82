/** An application message: its content, its limits, and the one JSON text that every repeat of a delivery sends. */
import { Type, type Static } from 'typebox';
import { markOf, markUrl, oversize, type LimitedTexts } from './mark.ts';

const text = (description: string, maxLength: number) =>
  Type.String({ minLength: 1, maxLength, description });

export const AppContentSchema = Type.Object(
  {
    text: Type.Optional(
      Type.Object(
        { content: text('Plain text; `<a href>` links work. 2048 bytes once rendered.', 8000) },
        { additionalProperties: false, description: 'A text message.' },
      ),
    ),
    markdown: Type.Optional(
      Type.Object(
        { content: text("WeCom's own small Markdown. 2048 bytes once rendered.", 8000) },
        { additionalProperties: false, description: 'Markdown; not shown in the WeChat plugin.' },
      ),
    ),
    textcard: Type.Optional(
      Type.Object(
        {
          title: text('128 bytes once rendered.', 1000),
          description: text('512 bytes once rendered; `<div class="gray">` and such work.', 4000),
          url: text('Where it leads, with http:// or https://; 2048 bytes once rendered.', 4000),
          buttonText: Type.Optional(text('Default 详情; 4 characters are shown.', 100)),
        },
        { additionalProperties: false, description: 'A card with a link.' },
      ),
    ),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    description: 'An application message: exactly one of text, markdown and textcard.',
    examples: [{ text: { content: '您的订单{{orderId}}已发货。' } }],
  },
);
export type AppContent = Static<typeof AppContentSchema>;

/** WeCom remembers a request this long; longer than `dedupeWindowMs`, so that a repeat on its way still falls into it. */
const duplicateCheckSeconds = 660;
/** For how long a repeat reaches nobody twice, counted from our first call. */
export const dedupeWindowMs = 600_000;

const shortTextBytes = 2048;
const maxUrlBytes = 2048;

/** The texts with their limits. */
export function appTexts({ text, markdown, textcard }: AppContent): LimitedTexts {
  return {
    'text.content': { text: text?.content, bytes: shortTextBytes },
    'markdown.content': { text: markdown?.content, bytes: shortTextBytes },
    'textcard.title': { text: textcard?.title, bytes: 128 },
    'textcard.description': { text: textcard?.description, bytes: 512 },
    'textcard.url': { text: textcard && markUrl(textcard.url, markOf('')), bytes: maxUrlBytes },
  };
}

/** What is too long or no link, as a sentence; WeCom itself would cut texts without a word. */
export function contentFault(content: AppContent): string | undefined {
  const fault = oversize(appTexts(content));
  const { textcard } = content;
  if (fault !== undefined) return fault;
  if (textcard !== undefined && !/^https?:\/\//.test(textcard.url))
    return 'textcard.url must begin with http:// or https://';
  return undefined;
}

/**
 * The body of message/send. WeCom compares request JSON to recognise a repeat, so it depends on nothing but these
 * arguments; and lest two deliveries of the same content be taken for one, `mc_ref` holds what is this delivery's own
 * (WeCom ignores members it does not know; a card carries it in its link as well).
 */
export function appMessageBody(message: {
  readonly agentId: number;
  readonly content: AppContent;
  /** One, or those of a batch in any order. */
  readonly deliveries: readonly { readonly userId: string; readonly deliveryKey: string }[];
}): string {
  const { agentId, content } = message;
  const deliveries = [...message.deliveries].sort((a, b) =>
    a.deliveryKey < b.deliveryKey ? -1 : 1,
  );
  const mark = markOf(...deliveries.map(({ deliveryKey }) => deliveryKey));
  return JSON.stringify({
    touser: deliveries.map(({ userId }) => userId).join('|'),
    ...typedContent(content, mark),
    agentid: agentId,
    enable_duplicate_check: 1,
    duplicate_check_interval: duplicateCheckSeconds,
    mc_ref: mark,
  });
}

function typedContent({ text, markdown, textcard }: AppContent, mark: string): object {
  if (text !== undefined) return { msgtype: 'text', text: { content: text.content } };
  if (markdown !== undefined)
    return { msgtype: 'markdown', markdown: { content: markdown.content } };
  if (textcard === undefined) throw new Error('content without a message');
  const { title, description, url, buttonText } = textcard;
  return {
    msgtype: 'textcard',
    textcard: {
      title,
      description,
      url: markUrl(url, mark),
      ...(buttonText !== undefined && { btntxt: buttonText }),
    },
  };
}

/** What people would read. */
export function appContentText(content: unknown): string {
  const { text, markdown, textcard } = content as AppContent;
  return textcard === undefined
    ? ((text ?? markdown)?.content ?? '')
    : `${textcard.title}\n${textcard.description}`;
}
