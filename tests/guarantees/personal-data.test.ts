/** Who is written to and what is written is readable nowhere that we keep it, except content where its template says so. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import proto from '@temporalio/proto';
import mysql from 'mysql2/promise';
import type { To } from '../../contracts/message.ts';
import { createLogger } from '../../platform/logger.ts';
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { createReceiver } from '../../platform/rocketmq.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const { History } = proto.temporal.api.history.v1;
const { DescribeWorkflowExecutionResponse, ListWorkflowExecutionsResponse } =
  proto.temporal.api.workflowservice.v1;

const system = await startSystem({
  connectors: ['email-smtp', 'inbox-builtin', 'push-fcm', 'wechat-template'],
  env: { MC_LOG_LEVEL: 'debug' },
  sandbox: {
    smsAliyun: { settings: { windows: null, receiptMedianMs: 200, receiptP99Ms: 400 } },
  },
});
const { names, config } = system;
const { namespace } = system.temporal;
const { workflow, workflowService } = system.temporal.client;
const group = `${config.prefix}-test`;
const admin = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 10_000 });
after(() => admin.close());

await system.store.templates.create(system.tenantId, {
  name: 'private-notice',
  kind: 'notice',
  variables: { text: { type: 'string' } },
  contents: {
    'sms-aliyun': {
      signName: '消息中心',
      templateCode: 'SMS_1003',
      params: { text: '{{text}}' },
      text: '{{text}}',
    },
    'email-smtp': { subject: '{{text}}', text: '{{text}}' },
    'inbox-builtin': { title: 'Notice', body: '{{text}}' },
    'push-fcm': { title: 'Notice', body: '{{text}}' },
    'wechat-template': { templateId: 'TM_plain', data: { keyword1: '{{text}}' } },
  },
});

/** What must not be found, by who it is about. The values are nowhere else in the world. */
const people = {
  delivered: { address: '+8613987650421', value: 'Vermächtnis-Qx81-您的遗产' },
  failed: { address: '13987650532', value: 'Gutachten-Rw72-体检报告' },
  retrying: { address: '13987650643', value: 'Mahnung-Tk63-欠款通知' },
  abroad: { address: '+6598765075', value: 'Kündigung-Um54-解雇通知' },
  mailed: { address: 'qx.privatperson@example.com', value: 'Arztbrief-Wm83-诊断结果' },
  inboxed: { address: 'u-privat-99887766', value: 'Abmahnung-Xn92-警告信' },
  pushed: { address: 'geraet-privat-5544332211', value: 'Befund-Yo19-化验单' },
  followed: { address: 'oPrivat5544332211000Abcdefgh', value: 'Gehalt-Zp28-工资条' },
} as const;

function toOf(address: string): To {
  if (address.includes('@')) return { email: address };
  if (address.startsWith('u-')) return { userId: address };
  if (address.startsWith('geraet-')) return { deviceToken: address };
  return address.startsWith('o') ? { openid: address } : { phone: address };
}
const searchable = { address: '13987650764', value: 'Lieferung-Vn45-包裹已到' } as const;
type Case = keyof typeof people;

/** A secret in every form in which bytes might carry it: as it is, escaped, and in the middle of base64. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const inBase64 = [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
    // The characters at the edges depend on the neighbours.
    return encoded.slice(
      Math.ceil((offset * 4) / 3),
      Math.floor(((offset + bytes.length) * 4) / 3),
    );
  });
  const escaped = JSON.stringify(secret)
    .slice(1, -1)
    .replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return [...new Set([secret, encodeURIComponent(secret), escaped, ...inBase64])];
}

const secretsOf = ({ address, value }: { address: string; value: string }) =>
  [address.replace(/^\+(86)?/, ''), value, value.slice(value.lastIndexOf('-') + 1)].flatMap(
    formsOf,
  );

/** Fails when any of the bytes say anything of anybody. */
function assertPrivate(where: string, bytes: Uint8Array, whose: readonly object[]): void {
  const buffer = Buffer.from(bytes);
  for (const person of whose as readonly { address: string; value: string }[])
    for (const form of secretsOf(person)) {
      const at = buffer.indexOf(form);
      const around = buffer.subarray(Math.max(0, at - 200), at + 200).toString('utf8');
      assert.equal(at, -1, `${where} holds "${form}": …${around}…`);
    }
}

const everybody = Object.values(people);

async function post(
  template: string,
  { address, value }: { address: string; value: string },
): Promise<string> {
  const variables = template === 'order-shipped' ? { orderId: value } : { text: value };
  const message = { to: toOf(address), template, variables };
  const { status, body } = await system.call('POST', '/v1/messages', message);
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
}

const ids = {} as Record<Case | 'searchable', string>;

before(async () => {
  const { faults } = system.sandbox.smsAliyun;
  // Providers repeat the number that they refuse.
  const message = ({ address }: { address: string }) => `号码 ${address} 不正确`;
  faults.add({
    kind: 'error',
    status: 200,
    code: 'isv.MOBILE_NUMBER_ILLEGAL',
    message: message(people.failed),
    to: people.failed.address,
    action: 'SendSms',
  });
  faults.add({
    kind: 'error',
    status: 403,
    code: 'InvalidAccessKeyId.Inactive',
    message: message(people.retrying),
    to: people.retrying.address,
    action: 'SendSms',
  });
  ids.delivered = await post('private-notice', people.delivered);
  ids.failed = await post('private-notice', people.failed);
  ids.retrying = await post('private-notice', people.retrying);
  ids.abroad = await post('private-notice', people.abroad);
  ids.searchable = await post('order-shipped', searchable);
  // Bad requests and questions carry the same data.
  const { address, value } = people.delivered;
  const bad = {
    to: { phone: address, value },
    template: 'private-notice',
    variables: people.delivered,
  };
  assert.equal((await system.call('POST', '/v1/messages', bad)).status, 422);
  await system.call('GET', `/v1/messages?to=${people.failed.address}`);
  await system.untilStatus(ids.delivered, ['delivered']);
  await system.untilStatus(ids.searchable, ['delivered']);
  await system.untilStatus(ids.abroad, ['sent', 'delivered', 'failed']);
  await system.untilStatus(ids.failed, ['failed']);
  await system.untilStatus(ids.retrying, ['retrying']);
  // A device and an inbox have rows of their own, and addresses of their own in calls.
  const { pushed, inboxed, mailed } = people;
  const device = { connector: 'push-fcm', deviceToken: pushed.address };
  const registered = await system.call('POST', `/v1/users/${inboxed.address}/devices`, device);
  assert.equal(registered.status, 200, JSON.stringify(registered.body));
  for (const name of ['mailed', 'inboxed', 'pushed', 'followed'] as const) {
    ids[name] = await post('private-notice', people[name]);
    await system.untilStatus(ids[name], ['sent', 'delivered']);
  }
  await system.call('GET', `/v1/messages?to=email:${mailed.address}`);
  await system.call('GET', `/v1/inbox/${inboxed.address}/items`);
  for (const id of Object.values(ids))
    await until(`an attempt of ${id} is in the index`, async () => {
      const { body } = await system.call('GET', `/v1/messages/${id}`);
      return (body['timeline'] as unknown[]).length > 0 ? true : undefined;
    });
});

describe('personal data', () => {
  it('the people were written to, so there was something to hide', () => {
    const { device } = system.sandbox.smsAliyun;
    const [shown] = device.find({ where: { phone: '13987650421' } }).entries;
    assert.match(shown?.text ?? '', /Vermächtnis-Qx81-您的遗产/);
    assert.equal(device.count('phone', people.failed.address), 0);
    const { emailSmtp, pushFcm, wechat } = system.sandbox;
    for (const { device: shownOn } of [emailSmtp, pushFcm, wechat])
      assert.equal(shownOn.total(), 1);
  });

  it('histories, descriptions and lists of Temporal hold none of it, and no workflow id or task queue does', async () => {
    for (const [name, workflowId] of Object.entries(ids)) {
      const execution = { workflowId };
      const { history } = await workflowService.getWorkflowExecutionHistory({
        namespace,
        execution,
      });
      assert.ok(history !== undefined && history !== null);
      const bytes = History.encode(history).finish();
      assert.ok(Buffer.from(bytes).includes(names.deliverQueue));
      assertPrivate(`the history of ${name}`, bytes, [...everybody, searchable]);
      const description = await workflowService.describeWorkflowExecution({ namespace, execution });
      const described = DescribeWorkflowExecutionResponse.encode(description).finish();
      assertPrivate(`the description of ${name}`, described, [...everybody, searchable]);
    }
    const query = `McTenant = '${system.tenantId}'`;
    const list = await until('all runs are listed', async () => {
      const answer = await workflowService.listWorkflowExecutions({ namespace, query });
      return answer.executions.length === Object.keys(ids).length ? answer : undefined;
    });
    const listed = ListWorkflowExecutionsResponse.encode(list).finish();
    assertPrivate('the list', listed, [...everybody, searchable]);
  });

  it('the type of a failure stays readable there, while its text is not', async () => {
    const { raw } = await workflow.getHandle(ids.retrying).describe();
    const [pending] = raw.pendingActivities ?? [];
    assert.equal(pending?.lastFailure?.applicationFailureInfo?.type, 'auth-invalid');
    assert.equal(pending?.lastFailure?.message, 'Encoded failure');
    const { history } = await workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId: ids.failed },
    });
    const end = history?.events?.at(-1)?.workflowExecutionFailedEventAttributes?.failure;
    assert.equal(end?.applicationFailureInfo?.type, 'recipient-invalid');
    assert.equal(end?.message, 'Encoded failure');
    assert.equal(end?.stackTrace ?? '', '');
  });

  it('no document of Elasticsearch holds it; content is kept only where its template makes it searchable', async () => {
    const url = `${config.elasticsearchUrl}/${config.prefix}-*`;
    await fetch(`${url}/_refresh`, { method: 'POST' });
    const answer = await fetch(`${url}/_search?size=1000`);
    const text = await answer.text();
    const documents = (JSON.parse(text) as { hits: { hits: { _source: object }[] } }).hits.hits;
    assert.ok(documents.length >= 3 * Object.keys(ids).length, `${documents.length} documents`);
    assertPrivate('an index', Buffer.from(text), everybody);
    const phoneOnly = { address: searchable.address, value: searchable.address };
    assertPrivate('an index', Buffer.from(text), [phoneOnly]);
    const holders = documents.filter((hit) => JSON.stringify(hit).includes(searchable.value));
    assert.equal(holders.length, 1);
    const [found] = holders.map((hit) => hit._source as { messageId: string; content: string });
    assert.equal(found?.messageId, ids.searchable);
    assert.match(found.content, new RegExp(searchable.value));
  });

  it('no body of a topic holds it, except content of such a template in results', async () => {
    const lanes = (['critical', 'normal', 'bulk'] as const).map((lane) => names.lane(0, lane));
    const others = [names.retries, names.receipts, names.parked, names.alerts];
    const topics = [...lanes, names.results, ...others];
    await admin.createGroups([{ name: group, maxRetries: 16 }]);
    for (const topic of topics) await admin.setOffsetsToStart(group, topic);
    const logger = createLogger('test', 'error');
    const endpoint = config.rocketmqEndpoint;
    const receiver = await createReceiver({
      endpoint,
      group,
      topics,
      invisibleSeconds: 60,
      logger,
    });
    after(() => receiver.close());
    for (const topic of topics) {
      const stored = await admin.topicMessageCount(topic);
      const isFull = [names.results, names.retries, names.alerts, names.lane(0, 'normal')];
      assert.ok(stored > 0 || !isFull.includes(topic), `${topic} is empty`);
      const bodies: Buffer[] = [];
      await until(
        `all of ${topic} is read`,
        async () => {
          if (bodies.length >= stored) return true;
          const deliveries = await receiver.receive(topic, 32);
          for (const { key, body } of deliveries) bodies.push(Buffer.from(key), body);
          await receiver.acknowledge(deliveries);
          return bodies.length >= 2 * stored ? true : undefined;
        },
        { seen: () => `${bodies.length / 2} of ${stored}` },
      );
      const whose = topic === names.results ? everybody : [...everybody, searchable];
      for (const body of bodies) assertPrivate(topic, body, whose);
    }
  });

  it('no table of MySQL holds it', async () => {
    const connection = await mysql.createConnection(config.mysqlUrl);
    after(() => connection.end());
    const [tables] = await connection.query({ sql: 'show tables', rowsAsArray: true });
    assert.ok((tables as string[][]).length > 5);
    for (const [table = ''] of tables as string[][]) {
      const [rows] = await connection.query('select * from ??', [table]);
      assertPrivate(`table ${table}`, Buffer.from(JSON.stringify(rows)), [
        ...everybody,
        searchable,
      ]);
    }
  });

  it('no log of a process holds it, at level debug too', () => {
    const files = readdirSync(system.logDir);
    assert.ok(files.length >= 6, files.join(' '));
    for (const file of files) {
      const text = readFileSync(join(system.logDir, file));
      assert.ok(text.length > 0, file);
      assertPrivate(file, text, [...everybody, searchable]);
    }
  });

  it('a status and a search show the number masked, with at least four digits hidden', async () => {
    const masks = {
      delivered: '+86139****0421',
      failed: '139****0532',
      retrying: '139****0643',
      abroad: '+65****5075',
      mailed: 'q****@example.com',
      inboxed: 'u-p****766',
      pushed: 'ger****211',
      followed: 'oPr****fgh',
    } as const satisfies Record<Case, string>;
    for (const [name, mask] of Object.entries(masks)) {
      const { body } = await system.call('GET', `/v1/messages/${ids[name as Case]}`);
      assert.equal(body['to'], mask);
      assertPrivate('the answer', Buffer.from(JSON.stringify(body)), everybody);
    }
  });
});
