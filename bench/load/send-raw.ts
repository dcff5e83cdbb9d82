/** Limit: raw batch sends of the official RocketMQ client from one process, without anything of ours around it. */
import {
  Producer,
  PublishingMessage,
  SendReceipt,
  type MessageQueue,
} from 'rocketmq-client-nodejs';
import servicePb from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_pb.js';
import { createLatencies, type Percentiles, type Point } from '../measure/latencies.ts';
import { serveLoad } from './serve.ts';

export interface SendRawOptions {
  readonly endpoint: string;
  readonly topic: string;
  /** Of every message, UTF-8. */
  readonly body: string;
  readonly messages: number;
  readonly warmUp: number;
  /** Messages in a broker call. */
  readonly batch: number;
  readonly inFlight: number;
}

export interface SendRawResult {
  readonly sent: number;
  readonly seconds: number;
  readonly latency: Percentiles;
  readonly points: readonly Point[];
}

class RawProducer extends Producer {
  #queue: MessageQueue | undefined;

  async sendBatch(topic: string, bodies: readonly { key: string; body: Buffer }[]): Promise<void> {
    const queue = (this.#queue ??= (await this.getRouteData(topic)).messageQueues[0]);
    if (queue === undefined) throw new Error(`topic ${topic} has no queue`);
    const request = new servicePb.SendMessageRequest();
    for (const { key, body } of bodies) {
      const message = new PublishingMessage(
        { topic, body, keys: [key] },
        this.publishingSettings,
        false,
      );
      request.addMessages(message.toProtobuf('', queue));
    }
    const { endpoints } = queue.broker;
    const response = await this.rpcClientManager.sendMessage(endpoints, request, 5000);
    SendReceipt.processResponseInvocation(queue, response);
  }
}

serveLoad<{ options: SendRawOptions; result: SendRawResult }>(async (options, begin) => {
  const { endpoint, topic, messages, warmUp, batch, inFlight } = options;
  const body = Buffer.from(options.body);
  const none = () => {};
  const logger = { info: none, warn: none, error: none, debug: none };
  const producer = new RawProducer({ endpoints: endpoint, namespace: '', maxAttempts: 1, logger });
  await producer.startup();
  const sendAll = async (from: number, to: number) => {
    const latencies = createLatencies();
    const startedAt = performance.now();
    let next = from;
    let sent = 0;
    const loop = async () => {
      while (next < to) {
        const first = next;
        const count = Math.min(batch, to - first);
        next += count;
        const sentAt = performance.now();
        await producer.sendBatch(
          topic,
          Array.from({ length: count }, (_, place) => ({ key: `raw-${first + place}`, body })),
        );
        sent += count;
        const now = performance.now();
        latencies.add(now - startedAt, now - sentAt, count);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, loop));
    const seconds = (performance.now() - startedAt) / 1000;
    return { sent, seconds, latency: latencies.all, points: latencies.points };
  };
  await sendAll(0, warmUp);
  await begin();
  return sendAll(warmUp, warmUp + messages);
});
