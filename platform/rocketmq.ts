/**
 * The queue port on RocketMQ 5 through its proxy. The official client sends one message a call and retries at once and
 * blindly, so this adapter goes around both: concurrent publishes to a topic become one SendMessageRequest (stored all or
 * nothing by RocketMQ ≥ 5.4), and retries are ours, with the same broker message ids.
 */
import type { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Producer,
  PublishingMessage,
  SendReceipt,
  SimpleConsumer,
  FilterExpression,
  type BaseClient,
  type Endpoints,
  type MessageQueue,
  type MessageView,
  type SimpleConsumerOptions,
} from 'rocketmq-client-nodejs';
import servicePb from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_pb.js';
import definitionPb from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/definition_pb.js';
import grpcPb from 'rocketmq-client-nodejs/proto/apache/rocketmq/v2/service_grpc_pb.js';
import { withDeadline } from './lifecycle.ts';
import type { Logger } from './logger.ts';
import { createPacks, type Packs } from './packs.ts';
import {
  PublishError,
  type Delivery,
  type Outgoing,
  type Publisher,
  type Receiver,
} from './queue.ts';

const requestTimeoutMs = 5_000;
const startupDeadlineMs = 15_000;
const shutdownDeadlineMs = 3_000;
/** A client that has failed for this long is replaced: some of its inner states never heal. */
const replaceAfterMs = 20_000;

/** Most messages and bytes in one broker call; the broker refuses over 4 MiB, and long before that batches stop paying. */
const batchMessages = 128;
const batchBytes = 1024 * 1024;
const batchesInFlight = 4;
/** Waiting messages per topic above which publishing is refused at once rather than kept in memory. */
const waitingMessages = 20_000;
/** How long the first message of a batch waits for company. */
const lingerMs = 2;

/**
 * gRPC waits longer and longer, up to two minutes, before it tries a server again that was away, and all clients of a
 * process share that wait. This client has no option for it, so the class is replaced that it makes its channels with.
 */
const { MessagingServiceClient } = grpcPb;
Object.assign(grpcPb, {
  MessagingServiceClient: class extends MessagingServiceClient {
    constructor(...[address, credentials]: ConstructorParameters<typeof MessagingServiceClient>) {
      super(address, credentials, { 'grpc.max_reconnect_backoff_ms': 2000 });
    }
  },
});

interface Waiting {
  readonly message: PublishingMessage;
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: PublishError) => void;
}

/**
 * The client ends a telemetry stream and takes all its listeners off; the error that a dying proxy then raises on it would
 * end our process. One listener stays.
 */
function survivingErrors<S extends EventEmitter>(stream: S): S {
  const removeAll = stream.removeAllListeners.bind(stream);
  stream.removeAllListeners = (...events) => {
    removeAll(...events);
    return stream.listenerCount('error') === 0 ? stream.on('error', () => {}) : stream;
  };
  return stream;
}

/** A telemetry stream of a client that is shut down: it would open a new one each second for ever. */
const inertStream = () => new PassThrough() as never;

/** Adds batch sends to the client; route data and RPC manager are reachable to subclasses only. */
class BatchProducer extends Producer {
  readonly #queues = new Map<string, MessageQueue>();
  #isShutDown = false;

  override createTelemetryStream(
    endpoints: Endpoints,
  ): ReturnType<BaseClient['createTelemetryStream']> {
    return this.#isShutDown
      ? inertStream()
      : survivingErrors(super.createTelemetryStream(endpoints));
  }

  override async shutdown(): Promise<void> {
    this.#isShutDown = true;
    await super.shutdown();
  }

  toPublishing(
    topic: string,
    outgoing: Outgoing,
    orderingGroup: string | undefined,
  ): PublishingMessage {
    const body =
      typeof outgoing.body === 'string' ? Buffer.from(outgoing.body) : Buffer.from(outgoing.body);
    return new PublishingMessage(
      {
        topic,
        body,
        keys: [outgoing.key].flat(),
        ...(orderingGroup !== undefined && { messageGroup: orderingGroup }),
      },
      this.publishingSettings,
      false,
    );
  }

  /** Errors: the proxy does not answer. Starting up alone asks it nothing. */
  async askRoute(topic: string): Promise<void> {
    await this.getRouteData(topic);
  }

  async sendBatch(topic: string, batch: readonly PublishingMessage[]): Promise<void> {
    const queue = await this.#queueOf(topic);
    const request = new servicePb.SendMessageRequest();
    for (const message of batch) request.addMessages(message.toProtobuf('', queue));
    const response = await this.rpcClientManager.sendMessage(
      queue.broker.endpoints,
      request,
      this.requestTimeout,
    );
    // One entry answers for the whole batch: OK there means all are stored.
    SendReceipt.processResponseInvocation(queue, response);
  }

  /** The proxy picks broker and queue itself, so any queue of the topic will do; kept, because each new object costs a channel. */
  async #queueOf(topic: string): Promise<MessageQueue> {
    const known = this.#queues.get(topic);
    if (known !== undefined) return known;
    const route = await this.getRouteData(topic);
    const queue = route.messageQueues[0];
    if (queue === undefined) throw new Error(`topic ${topic} has no queue`);
    this.#queues.set(topic, queue);
    return queue;
  }
}

/** Passes the client's own lines on as debug: they repeat each second while a server is away. */
function quiet(logger: Logger) {
  const line = (...parts: unknown[]) =>
    logger.debug({ client: 'rocketmq' }, parts.map(String).join(' '));
  return { info: line, warn: line, error: line, debug: () => {} };
}

/** Keeps a client alive: starts it, and replaces it when it has failed for long. */
class Supervised<C extends { startup(): Promise<void>; shutdown(): Promise<void> }> {
  readonly #make: () => C;
  readonly #logger: Logger;
  #client: Promise<C> | undefined;
  #failingSince: number | undefined;

  constructor(make: () => C, logger: Logger) {
    this.#make = make;
    this.#logger = logger;
  }

  async use<T>(work: (client: C) => Promise<T>): Promise<T> {
    const client = await (this.#client ??= this.#start());
    try {
      const result = await work(client);
      this.#failingSince = undefined;
      return result;
    } catch (error) {
      this.#failingSince ??= Date.now();
      if (Date.now() - this.#failingSince > replaceAfterMs) {
        this.#logger.warn({ error }, 'rocketmq.client-replaced');
        this.#failingSince = undefined;
        await this.stop();
      }
      throw error;
    }
  }

  async stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    // Shutdown of this client rejects, or hangs, while the proxy is away; nothing of ours depends on it.
    await client
      ?.then((started) =>
        withDeadline(started.shutdown(), shutdownDeadlineMs, 'RocketMQ client shutdown'),
      )
      .catch((error: unknown) => this.#logger.debug({ error }, 'rocketmq.shutdown-failed'));
  }

  async #start(): Promise<C> {
    const client = this.#make();
    try {
      await withDeadline(client.startup(), startupDeadlineMs, 'RocketMQ client startup');
      return client;
    } catch (error) {
      this.#client = undefined;
      // A failed start leaves timers behind.
      void client.shutdown().catch(() => {});
      throw error;
    }
  }
}

export interface PublisherOptions {
  readonly endpoint: string;
  /** One that exists: connecting asks where it is. Absent: a proxy that is away is met only at the first message. */
  readonly topic?: string;
  readonly logger: Logger;
}

/** Connects a publisher. Errors: the proxy does not answer within 15 s. */
export async function createPublisher(options: PublisherOptions): Promise<Publisher> {
  const publisher = openPublisher(options);
  await publisher.connect();
  return publisher;
}

/** A publisher that connects at its first use; until the proxy answers, what is published is refused as not stored. */
export function openPublisher(
  options: PublisherOptions,
): Publisher & { /** Errors: the proxy does not answer within 15 s. */ connect(): Promise<void> } {
  const { endpoint, topic: knownTopic, logger } = options;
  const supervised = new Supervised(
    () =>
      new BatchProducer({
        endpoints: endpoint,
        namespace: '',
        requestTimeout: requestTimeoutMs,
        logger: quiet(logger),
        maxAttempts: 1,
      }),
    logger,
  );
  const lanes = new Map<string, TopicLane>();
  const laneOf = (topic: string) => {
    let lane = lanes.get(topic);
    if (lane === undefined) lanes.set(topic, (lane = new TopicLane(topic, supervised)));
    return lane;
  };
  const packs = new Map<string, Packs>();
  const packsOf = (topic: string) => {
    let made = packs.get(topic);
    if (made === undefined) {
      const lane = laneOf(topic);
      packs.set(topic, (made = createPacks((pack, deadline) => lane.publish(pack, deadline))));
    }
    return made;
  };

  return {
    connect: () =>
      supervised.use(async (producer) => {
        if (knownTopic !== undefined) await producer.askRoute(knownTopic);
      }),
    publish: async (topic, message, { deadlineMs = 10_000, orderingGroup, isPackable } = {}) => {
      const deadline = Date.now() + deadlineMs;
      if (orderingGroup !== undefined)
        return laneOf(topic).publishInOrder(message, orderingGroup, deadline);
      return isPackable === true
        ? packsOf(topic).add(message, deadline)
        : laneOf(topic).publish(message, deadline);
    },
    close: async () => {
      await Promise.all([...packs.values()].map((each) => each.drain()));
      await Promise.all([...lanes.values()].map((lane) => lane.drain()));
      await supervised.stop();
    },
  };
}

/** Group commit of one topic: what arrives while batches are on their way goes with the next one. */
class TopicLane {
  readonly #topic: string;
  readonly #client: Supervised<BatchProducer>;
  readonly #waiting: Waiting[] = [];
  #inFlight = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle: (() => void)[] = [];
  /** The last publish of each ordering group that has any in hand, and how many those are over all groups. */
  readonly #groups = new Map<string, Promise<void>>();
  #ordered = 0;

  constructor(topic: string, client: Supervised<BatchProducer>) {
    this.#topic = topic;
    this.#client = client;
  }

  async publish(outgoing: Outgoing, deadline: number): Promise<void> {
    if (this.#waiting.length >= waitingMessages)
      throw new PublishError(`${waitingMessages} messages already wait for the broker`, 'no');
    const message = await this.#toPublishing(outgoing, deadline);
    return new Promise<void>((resolve, reject) => {
      this.#waiting.push({ message, deadline, resolve, reject });
      if (this.#waiting.length >= batchMessages) this.#flush();
      else this.#timer ??= setTimeout(() => this.#flush(), lingerMs);
    });
  }

  /** Waits for those of its group that were called before; a batch could not say which of its messages is stored first. */
  async publishInOrder(outgoing: Outgoing, group: string, deadline: number): Promise<void> {
    if (this.#ordered >= waitingMessages)
      throw new PublishError(`${waitingMessages} messages already wait for the broker`, 'no');
    const before = this.#groups.get(group);
    const sent = (async () => {
      await before;
      if (Date.now() >= deadline)
        throw new PublishError('the messages before it took until its deadline', 'no');
      const message = await this.#toPublishing(outgoing, deadline, group);
      await new Promise<void>((resolve, reject) => {
        void this.#send([{ message, deadline, resolve, reject }]);
      });
    })();
    const settled = sent
      .catch(() => {})
      .then(() => {
        this.#ordered--;
        if (this.#groups.get(group) === settled) this.#groups.delete(group);
      });
    this.#ordered++;
    this.#groups.set(group, settled);
    return sent;
  }

  async #toPublishing(
    outgoing: Outgoing,
    deadline: number,
    group?: string,
  ): Promise<PublishingMessage> {
    try {
      return await withDeadline(
        this.#client.use(async (producer) => producer.toPublishing(this.#topic, outgoing, group)),
        Math.max(1, deadline - Date.now()),
        'connecting to RocketMQ',
      );
    } catch (error) {
      throw new PublishError('RocketMQ does not answer', 'no', error);
    }
  }

  async drain(): Promise<void> {
    await Promise.all(this.#groups.values());
    this.#flush();
    if (this.#inFlight === 0 && this.#waiting.length === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#inFlight < batchesInFlight && this.#waiting.length > 0) {
      this.#inFlight++;
      void this.#send(this.#takeBatch()).finally(() => {
        this.#inFlight--;
        if (this.#waiting.length > 0) this.#flush();
        else if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
      });
    }
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { message } of this.#waiting) {
      bytes += message.body.length;
      if (count === batchMessages || (count > 0 && bytes > batchBytes)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #send(batch: Waiting[]): Promise<void> {
    let stored: 'no' | 'unknown' = 'no';
    let pauseMs = 50;
    for (;;) {
      try {
        await this.#client.use((producer) =>
          producer.sendBatch(
            this.#topic,
            batch.map((waiting) => waiting.message),
          ),
        );
        for (const waiting of batch) waiting.resolve();
        return;
      } catch (error) {
        if (!surelyNotStored(error)) stored = 'unknown';
        const now = Date.now();
        const late = batch.filter(
          (waiting) => isPermanent(error) || waiting.deadline <= now + pauseMs,
        );
        for (const waiting of late)
          waiting.reject(
            new PublishError(
              `RocketMQ did not store the message: ${describe(error)}`,
              stored,
              error,
            ),
          );
        batch = batch.filter((waiting) => !late.includes(waiting));
        if (batch.length === 0) return;
        await sleep(pauseMs * (0.5 + Math.random()));
        pauseMs = Math.min(pauseMs * 2, 2000);
      }
    }
  }
}

const describe = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The connection was refused, or the proxy refused the request before storing anything. */
function surelyNotStored(error: unknown): boolean {
  const text = describe(error);
  return (
    isPermanent(error) ||
    /ECONNREFUSED|No connection established|Failed to fetch topic routes|NotFound/.test(text)
  );
}

const permanentErrors = new Set([
  'BadRequestException',
  'PayloadTooLargeException',
  'RequestHeaderFieldsTooLargeException',
  'UnauthorizedException',
  'ForbiddenException',
  'TypeError',
]);
function isPermanent(error: unknown): boolean {
  return error instanceof Error && permanentErrors.has(error.constructor.name);
}

/** Adds receiving from a named topic and acknowledging many in one call. */
class TopicConsumer extends SimpleConsumer {
  readonly #queues = new Map<string, MessageQueue[]>();
  #isShutDown = false;
  readonly #laterTopics: readonly string[];
  #turn = 0;

  /**
   * The client starts with the first topic alone: with several, the proxy's settings can arrive while it still asks for
   * routes, and then it waits for them for ever.
   */
  constructor(options: Omit<SimpleConsumerOptions, 'subscriptions'>, topics: readonly string[]) {
    super({ ...options, subscriptions: new Map(topics.slice(0, 1).map((topic) => [topic, '*'])) });
    this.#laterTopics = topics.slice(1);
  }

  override async startup(): Promise<void> {
    await super.startup();
    for (const topic of this.#laterTopics) await this.subscribe(topic, new FilterExpression('*'));
    for (const endpoints of this.getTotalRouteEndpoints())
      this.getTelemetrySession(endpoints).syncSettings();
  }

  override createTelemetryStream(
    endpoints: Endpoints,
  ): ReturnType<BaseClient['createTelemetryStream']> {
    return this.#isShutDown
      ? inertStream()
      : survivingErrors(super.createTelemetryStream(endpoints));
  }

  override async shutdown(): Promise<void> {
    this.#isShutDown = true;
    await super.shutdown();
  }

  async receiveFrom(
    topic: string,
    max: number,
    { invisibleMs, awaitMs }: { invisibleMs: number; awaitMs: number },
  ): Promise<MessageView[]> {
    const queue = await this.#queueOf(topic);
    const request = this.wrapReceiveMessageRequest(
      max,
      queue,
      new FilterExpression('*'),
      invisibleMs,
      awaitMs,
    );
    return this.receiveMessage(request, queue, awaitMs);
  }

  async acknowledgeAll(topic: string, views: readonly MessageView[]): Promise<void> {
    const request = new servicePb.AckMessageRequest()
      .setGroup(resource(this.consumerGroup))
      .setTopic(resource(topic));
    for (const view of views)
      request.addEntries().setMessageId(view.messageId).setReceiptHandle(view.receiptHandle);
    const [first] = views;
    if (first === undefined) return;
    await this.ackMessageViaRpc(first.endpoints, request, this.requestTimeout);
  }

  async #queueOf(topic: string): Promise<MessageQueue> {
    let queues = this.#queues.get(topic);
    if (queues === undefined) {
      const route = await this.getRouteData(topic);
      const byBroker = new Map(route.messageQueues.map((queue) => [queue.broker.name, queue]));
      this.#queues.set(topic, (queues = [...byBroker.values()]));
    }
    const queue = queues[this.#turn++ % queues.length];
    if (queue === undefined) throw new Error(`topic ${topic} has no queue`);
    return queue;
  }
}

/** Shorter than the time that a part of a process has to stop: who stops waits for the receive in hand. */
const defaultAwaitMs = 5000;
/** For who does not wait for it: a third of the cost while there is nothing. The proxy allows 20 s at most. */
export const longAwaitMs = 15_000;

function resource(name: string) {
  const made = new definitionPb.Resource();
  made.setName(name);
  return made;
}

export interface ReceiverOptions {
  readonly endpoint: string;
  readonly group: string;
  /** All topics of the group: every member subscribes to the same ones, and asks for one at a time. */
  readonly topics: readonly string[];
  /** Seconds after which an unacknowledged message comes again; 10 at least. */
  readonly invisibleSeconds: number;
  /**
   * How long a receive waits for a message, 5 s, which is the least, by default. What was given back from a FIFO topic ends no such
   * wait: it is met by the next receive.
   */
  readonly awaitMs?: number;
  readonly logger: Logger;
}

/** Connects a receiver. Errors: the proxy does not answer within 15 s. */
export async function createReceiver(options: ReceiverOptions): Promise<Receiver> {
  const { endpoint, group, topics, invisibleSeconds, awaitMs = defaultAwaitMs, logger } = options;
  const supervised = new Supervised(
    () =>
      new TopicConsumer(
        {
          endpoints: endpoint,
          namespace: '',
          consumerGroup: group,
          awaitDuration: awaitMs,
          requestTimeout: requestTimeoutMs,
          logger: quiet(logger),
        },
        topics,
      ),
    logger,
  );
  await supervised.use(async () => {});
  const views = new WeakMap<Delivery, MessageView>();
  const viewOf = (delivery: Delivery) => {
    const view = views.get(delivery);
    if (view === undefined) throw new Error('this delivery was received by another receiver');
    return view;
  };

  return {
    receive: async (topic, max, waitMs = awaitMs) => {
      const invisibleMs = invisibleSeconds * 1000;
      const received = await supervised.use((consumer) =>
        consumer.receiveFrom(topic, max, { invisibleMs, awaitMs: waitMs }),
      );
      return received.map((view) => {
        const delivery = {
          topic,
          key: view.keys[0] ?? '',
          body: view.body,
          attempt: view.deliveryAttempt ?? 1,
        };
        views.set(delivery, view);
        return delivery;
      });
    },
    acknowledge: async (deliveries) => {
      const byTopic = new Map<string, Delivery[]>();
      for (const delivery of deliveries)
        byTopic.set(delivery.topic, [...(byTopic.get(delivery.topic) ?? []), delivery]);
      await Promise.all(
        [...byTopic].map(([topic, group]) =>
          supervised.use((consumer) => consumer.acknowledgeAll(topic, group.map(viewOf))),
        ),
      );
    },
    retryLater: (delivery, delayMs) =>
      supervised.use((consumer) =>
        consumer.changeInvisibleDuration(viewOf(delivery), Math.max(1000, delayMs)),
      ),
    close: () => supervised.stop(),
  };
}
