/**
 * There is no official SDK for Node to compare with, so requests are pinned to the examples that WeCom documents:
 * message/send (path/90236), add_msg_template (path/92135) and webhook/send (path/91770).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appMessageBody, contentFault, type AppContent } from './app-message.ts';
import { customerContentFault, customerMessageBody } from './customer-message.ts';
import { markIn, markOf, markUrl } from './mark.ts';
import { robotMessageBody } from './robot-client.ts';

const read = (body: string) => JSON.parse(body) as Record<string, unknown>;
const bodyOf = (content: AppContent, deliveryKey = 'msg_1.0.a', userId = 'UserID1') =>
  appMessageBody({ agentId: 1, content, deliveries: [{ userId, deliveryKey }] });
/** What is ours in every body: the check for repeats, and the mark it needs. */
const ours = (mark: string) => ({
  enable_duplicate_check: 1,
  duplicate_check_interval: 660,
  mc_ref: mark,
});
const text =
  '你的快递已到，请携带工卡前往邮件中心领取。\n出发前可查看<a href="http://work.weixin.qq.com">邮件中心视频实况</a>，聪明避开排队。';

test('text is as documented', () => {
  assert.deepEqual(read(bodyOf({ text: { content: text } })), {
    touser: 'UserID1',
    msgtype: 'text',
    agentid: 1,
    text: { content: text },
    ...ours(markOf('msg_1.0.a')),
  });
});

test('markdown is as documented', () => {
  const content = '您的会议室已经预定，稍后会同步到`邮箱` \n>**事项详情** ';
  assert.deepEqual(read(bodyOf({ markdown: { content } })), {
    touser: 'UserID1',
    msgtype: 'markdown',
    agentid: 1,
    markdown: { content },
    ...ours(markOf('msg_1.0.a')),
  });
});

test('a card is as documented, and its link carries the mark', () => {
  const card = {
    title: '领奖通知',
    description: '<div class="gray">2016年9月26日</div> <div class="normal">恭喜你</div>',
  };
  const mark = markOf('msg_1.0.a');
  assert.deepEqual(
    read(bodyOf({ textcard: { ...card, url: 'https://a.cn/x?y=1', buttonText: '更多' } })),
    {
      touser: 'UserID1',
      msgtype: 'textcard',
      agentid: 1,
      textcard: { ...card, url: `https://a.cn/x?y=1#mc=${mark}`, btntxt: '更多' },
      ...ours(mark),
    },
  );
});

test('a link with a fragment of its own stays as it is', () => {
  const mark = markOf('k');
  assert.equal(markUrl('https://a.cn/#/orders/1', mark), 'https://a.cn/#/orders/1');
  assert.equal(markIn(markUrl('https://a.cn/', mark)), mark);
  assert.equal(markIn('https://a.cn/#mc=1'), undefined);
});

test('the same delivery is the same bytes, another delivery of the same content is not', () => {
  const contents: readonly AppContent[] = [
    { text: { content: '您好' } },
    { markdown: { content: '您好' } },
    { textcard: { title: 't', description: 'd', url: 'https://a.cn/#/own' } },
  ];
  for (const content of contents) {
    assert.equal(bodyOf(content), bodyOf(structuredClone(content)));
    assert.notEqual(bodyOf(content), bodyOf(content, 'msg_2.0.a'));
    assert.notEqual(bodyOf(content), bodyOf(content, 'msg_1.1.a'), 'a redrive is a new delivery');
  }
});

test('a batch is the same bytes in whatever order its messages come', () => {
  const content = { text: { content: '您好' } };
  const deliveries = ['b', 'c', 'a'].map((key) => ({ userId: `u-${key}`, deliveryKey: key }));
  const batch = (of: typeof deliveries) => appMessageBody({ agentId: 1, content, deliveries: of });
  assert.equal(batch(deliveries), batch(deliveries.toReversed()));
  assert.equal(read(batch(deliveries))['touser'], 'u-a|u-b|u-c');
  assert.notEqual(batch(deliveries), batch(deliveries.slice(1)));
});

test('a customer task is as documented', () => {
  const link = {
    title: '消息标题',
    pictureUrl: 'https://example.pic.com/path',
    description: '消息描述',
    url: 'https://example.link.com/path',
  };
  const customer = 'woAJ2GCAAAXtWyujaWJHDDGi0mACAAAA';
  const made = customerMessageBody({
    customer,
    content: { text: '文本消息内容', link },
    sender: 'zhangsan',
    deliveryKey: 'k',
  });
  assert.deepEqual(made, {
    chat_type: 'single',
    external_userid: [customer],
    sender: 'zhangsan',
    text: { content: '文本消息内容' },
    attachments: [
      {
        msgtype: 'link',
        link: {
          title: '消息标题',
          picurl: 'https://example.pic.com/path',
          desc: '消息描述',
          url: `https://example.link.com/path#mc=${markOf('k')}`,
        },
      },
    ],
  });
  const own = { text: 't', sender: 'lisi' };
  const more = { customer, sender: 'zhangsan', deliveryKey: 'k' };
  assert.equal(customerMessageBody({ ...more, content: own })['sender'], 'lisi');
  assert.ok(
    !('sender' in customerMessageBody({ ...more, sender: undefined, content: { text: 't' } })),
  );
});

test("a robot's messages are as documented", () => {
  const content = '广州今日天气：29度，大部分多云，降雨概率：60%';
  assert.deepEqual(
    read(
      robotMessageBody({
        text: {
          content,
          mentionUserIds: ['wangqing', '@all'],
          mentionPhones: ['13800001111', '@all'],
        },
      }),
    ),
    {
      msgtype: 'text',
      text: {
        content,
        mentioned_list: ['wangqing', '@all'],
        mentioned_mobile_list: ['13800001111', '@all'],
      },
    },
  );
  assert.deepEqual(read(robotMessageBody({ markdown: { content } })), {
    msgtype: 'markdown',
    markdown: { content },
  });
});

test('limits are counted in bytes, to the byte', () => {
  const fits = '字'.repeat(682) + 'ab';
  assert.equal(Buffer.byteLength(fits), 2048);
  assert.equal(contentFault({ text: { content: fits } }), undefined);
  assert.match(contentFault({ text: { content: `${fits}c` } }) ?? '', /2049 bytes long, 2048/);
  assert.match(contentFault({ markdown: { content: `${fits}c` } }) ?? '', /markdown/);
  const card = { title: 't', description: 'd', url: 'https://a.cn' };
  assert.equal(contentFault({ textcard: card }), undefined);
  for (const change of [
    { title: 'x'.repeat(129) },
    { description: 'x'.repeat(513) },
    { url: `https://a.cn/${'x'.repeat(2040)}` },
    { url: 'a.cn' },
  ])
    assert.notEqual(contentFault({ textcard: { ...card, ...change } }), undefined);
  const link = { title: 't', url: 'https://a.cn' };
  assert.equal(customerContentFault({ text: 'x'.repeat(4000), link }), undefined);
  for (const change of [
    { text: 'x'.repeat(4001) },
    { link: { ...link, title: 'x'.repeat(129) } },
    { link: { ...link, description: 'x'.repeat(513) } },
    { link: { ...link, url: 'a.cn' } },
    { sender: '' },
    { sender: '张三' },
  ])
    assert.notEqual(customerContentFault({ text: 't', ...change }), undefined);
});
