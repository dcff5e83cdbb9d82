/** Creates and inspects RocketMQ's topics and groups, on every master broker that the name server knows. */
import {
  createRemotingConnection,
  parseBody,
  type RemotingAnswer,
  type RemotingConnection,
  type RemotingRequest,
} from './rocketmq-remoting.ts';

export type TopicType = 'NORMAL' | 'FIFO' | 'DELAY';

export interface TopicSpec {
  readonly name: string;
  /** Read and write queues on each broker. An existing topic keeps the larger number: fewer would hide messages. */
  readonly queues: number;
  readonly type: TopicType;
}

export interface GroupSpec {
  readonly name: string;
  /** True for groups that read FIFO topics in order. */
  readonly ordered?: boolean;
  /** Deliveries after the first one before the broker moves a message to its dead-letter topic. */
  readonly maxRetries: number;
}

export interface GroupLag {
  /** Messages the group has not been handed yet, its retries included. */
  readonly lag: number;
  /** Messages handed out and not acknowledged, where the broker tells; 0 for groups that pop. */
  readonly inFlight: number;
}

/** Everything here is idempotent. Errors are Errors that name the address, the request and the server's reason. */
export interface RocketmqAdmin {
  /** Names of the master brokers that have registered. */
  brokers(): Promise<string[]>;
  /** Creates missing topics and corrects differing ones. */
  createTopics(topics: readonly TopicSpec[]): Promise<void>;
  /** Creates missing groups and corrects differing ones. */
  createGroups(groups: readonly GroupSpec[]): Promise<void>;
  /**
   * Commits the first offset for every queue where the group has none yet, because a new group that pops starts at the
   * newest message. Topic and group must exist. Returns the number of queues that were set.
   */
  setOffsetsToStart(group: string, topic: string): Promise<number>;
  groupLag(group: string, topic: string): Promise<GroupLag>;
  topicExists(name: string): Promise<boolean>;
  /** Deletes topics with their messages; unknown names are ignored. */
  deleteTopics(names: readonly string[]): Promise<void>;
  /** Stored messages of a topic, over all queues, read or not. */
  topicMessageCount(name: string): Promise<number>;
  close(): void;
}

const requestCode = {
  queryConsumerOffset: 14,
  updateConsumerOffset: 15,
  createTopicList: 18,
  getAllTopicConfig: 21,
  getRouteByTopic: 105,
  getBrokerClusterInfo: 106,
  getAllGroupConfig: 201,
  getTopicStats: 202,
  getConsumeStats: 208,
  deleteTopicInBroker: 215,
  deleteTopicInNameServer: 216,
  createGroupList: 225,
} as const;

const success = 0;
const topicNotExist = 17;
const queryNotFound = 22;
const readAndWrite = 6;
const masterBrokerId = '0';
const commitRounds = 5;

interface TopicConfig {
  readonly topicName: string;
  readonly readQueueNums: number;
  readonly writeQueueNums: number;
  readonly perm: number;
  readonly order: boolean;
  readonly attributes?: Readonly<Record<string, string>>;
}

interface GroupConfig {
  readonly groupName: string;
  readonly consumeMessageOrderly: boolean;
  readonly retryMaxTimes: number;
}

interface Broker {
  readonly name: string;
  readonly address: string;
}

/**
 * Opens the administration of the cluster behind `nameServer` (`host:port`, several with `;`).
 * Connections are made at the first use; `timeoutMs` is for each request.
 *
 *     const admin = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 5000 });
 */
export function createRocketmqAdmin(options: {
  readonly nameServer: string;
  readonly timeoutMs: number;
}): RocketmqAdmin {
  const connections = new Map<string, RemotingConnection>();
  const nameServers = options.nameServer.split(';').map((address) => address.trim());

  function connectionTo(address: string): RemotingConnection {
    let connection = connections.get(address);
    if (connection === undefined) {
      connection = createRemotingConnection(address, options.timeoutMs);
      connections.set(address, connection);
    }
    return connection;
  }

  async function call(
    address: string,
    request: RemotingRequest,
    accepted: readonly number[] = [success],
  ): Promise<RemotingAnswer> {
    const answer = await connectionTo(address).call(request);
    if (accepted.includes(answer.code)) return answer;
    throw new Error(
      `RocketMQ at ${address} refused request ${request.code} with code ${answer.code}: ${answer.remark || 'no reason given'}`,
    );
  }

  async function askNameServer(
    request: RemotingRequest,
    accepted?: readonly number[],
  ): Promise<RemotingAnswer> {
    const faults: string[] = [];
    for (const address of nameServers) {
      try {
        return await call(address, request, accepted);
      } catch (error) {
        faults.push(error instanceof Error ? error.message : String(error));
      }
    }
    throw new Error(faults.join('; '));
  }

  async function masters(): Promise<Broker[]> {
    const answer = await askNameServer({ code: requestCode.getBrokerClusterInfo });
    const { brokerAddrTable } = bodyOf(answer) as {
      brokerAddrTable: Record<string, { brokerAddrs: Record<string, string> }>;
    };
    return Object.entries(brokerAddrTable).flatMap(([name, { brokerAddrs }]) => {
      const address = brokerAddrs[masterBrokerId];
      return address === undefined ? [] : [{ name, address }];
    });
  }

  async function onEachMaster<T>(work: (broker: Broker) => Promise<T>): Promise<T[]> {
    const brokers = await masters();
    if (brokers.length === 0)
      throw new Error(`no broker has registered at the name server ${options.nameServer}`);
    return await Promise.all(brokers.map(work));
  }

  async function topicConfigs(broker: Broker): Promise<Record<string, TopicConfig>> {
    const answer = await call(broker.address, { code: requestCode.getAllTopicConfig });
    return (bodyOf(answer) as { topicConfigTable: Record<string, TopicConfig> }).topicConfigTable;
  }

  async function createTopicsOn(broker: Broker, topics: readonly TopicSpec[]): Promise<void> {
    const existing = await topicConfigs(broker);
    // The broker skips the whole list when it finds one unchanged topic in it, so only changes are sent.
    const changed = topics.flatMap((topic) => {
      const before = existing[topic.name];
      const queues = Math.max(
        topic.queues,
        before?.writeQueueNums ?? 0,
        before?.readQueueNums ?? 0,
      );
      const isSame =
        before?.readQueueNums === queues &&
        before.writeQueueNums === queues &&
        before.perm === readAndWrite &&
        (before.attributes?.['message.type'] ?? 'NORMAL') === topic.type;
      return isSame ? [] : [topicConfig(topic, queues, before)];
    });
    if (changed.length === 0) return;
    await call(broker.address, {
      code: requestCode.createTopicList,
      body: { topicConfigList: changed },
    });
  }

  async function createGroupsOn(broker: Broker, groups: readonly GroupSpec[]): Promise<void> {
    const answer = await call(broker.address, { code: requestCode.getAllGroupConfig });
    const { subscriptionGroupTable: existing } = bodyOf(answer) as {
      subscriptionGroupTable: Record<string, GroupConfig>;
    };
    const changed = groups
      .map((group) => ({
        ...existing[group.name],
        groupName: group.name,
        consumeEnable: true,
        consumeMessageOrderly: group.ordered ?? false,
        retryMaxTimes: group.maxRetries,
      }))
      .filter((wanted) => {
        const before = existing[wanted.groupName];
        return (
          before?.consumeMessageOrderly !== wanted.consumeMessageOrderly ||
          before.retryMaxTimes !== wanted.retryMaxTimes
        );
      });
    if (changed.length === 0) return;
    await call(broker.address, {
      code: requestCode.createGroupList,
      body: { groupConfigList: changed },
    });
  }

  /** Offsets of each queue; undefined where the broker does not have the topic. */
  async function queueOffsets(broker: Broker, topic: string) {
    const request = { code: requestCode.getTopicStats, fields: { topic } };
    const answer = await call(broker.address, request, [success, topicNotExist]);
    if (answer.code === topicNotExist) return undefined;
    return offsetTable<{ minOffset: number; maxOffset: number }>(answer);
  }

  async function startOffsetsOn(broker: Broker, group: string, topic: string): Promise<number> {
    const queues = await queueOffsets(broker, topic);
    if (queues === undefined) throw new Error(`broker ${broker.name} has no topic ${topic}`);
    const fieldsOf = (queueId: number) => ({ consumerGroup: group, topic, queueId });
    const isMissing = async ({ queueId }: { readonly queueId: number }) => {
      const fields = { ...fieldsOf(queueId), setZeroIfNotFound: false };
      const request = { code: requestCode.queryConsumerOffset, fields };
      return (await call(broker.address, request, [success, queryNotFound])).code === queryNotFound;
    };
    // The broker loses all but one of the first commits of a group when they overlap: one after the other, and looked
    // at again, because somebody else may install at the same time.
    let committed = 0;
    for (let round = 0; round < commitRounds; round++) {
      const missing = await filter(queues, isMissing);
      if (missing.length === 0) return committed;
      for (const { queueId, minOffset } of missing) {
        const fields = { ...fieldsOf(queueId), commitOffset: minOffset };
        await call(broker.address, { code: requestCode.updateConsumerOffset, fields });
        committed++;
      }
    }
    throw new Error(
      `broker ${broker.name} does not keep the start offsets of group ${group} on ${topic}`,
    );
  }

  async function lagOn(broker: Broker, group: string, topic: string): Promise<GroupLag> {
    const topicList = `${topic};${retryTopic(group, topic)}`;
    const answer = await call(broker.address, {
      code: requestCode.getConsumeStats,
      fields: { consumerGroup: group, topic, topicList },
    });
    const queues = offsetTable<{
      brokerOffset: number;
      consumerOffset: number;
      pullOffset: number;
    }>(answer);
    return {
      lag: sum(queues.map((queue) => Math.max(0, queue.brokerOffset - queue.consumerOffset))),
      inFlight: sum(queues.map((queue) => Math.max(0, queue.pullOffset - queue.consumerOffset))),
    };
  }

  return {
    brokers: async () => (await masters()).map((broker) => broker.name),
    createTopics: async (topics) => {
      await onEachMaster((broker) => createTopicsOn(broker, topics));
    },
    createGroups: async (groups) => {
      await onEachMaster((broker) => createGroupsOn(broker, groups));
    },
    setOffsetsToStart: async (group, topic) =>
      sum(await onEachMaster((broker) => startOffsetsOn(broker, group, topic))),
    groupLag: async (group, topic) => {
      const parts = await onEachMaster((broker) => lagOn(broker, group, topic));
      return {
        lag: sum(parts.map((part) => part.lag)),
        inFlight: sum(parts.map((part) => part.inFlight)),
      };
    },
    topicExists: async (name) => {
      const request = { code: requestCode.getRouteByTopic, fields: { topic: name } };
      return (await askNameServer(request, [success, topicNotExist])).code === success;
    },
    deleteTopics: async (names) => {
      const deletions = (code: number) => names.map((topic) => ({ code, fields: { topic } }));
      await onEachMaster((broker) =>
        Promise.all(
          deletions(requestCode.deleteTopicInBroker).map((request) =>
            call(broker.address, request),
          ),
        ),
      );
      const atNameServers = nameServers.flatMap((address) =>
        deletions(requestCode.deleteTopicInNameServer).map((request) => call(address, request)),
      );
      await Promise.all(atNameServers);
    },
    topicMessageCount: async (name) => {
      const parts = await onEachMaster((broker) => queueOffsets(broker, name));
      return sum(
        parts.flatMap((queues) => (queues ?? []).map((queue) => queue.maxOffset - queue.minOffset)),
      );
    },
    close: () => {
      for (const connection of connections.values()) connection.close();
      connections.clear();
    },
  };
}

function topicConfig(
  topic: TopicSpec,
  queues: number,
  before: TopicConfig | undefined,
): TopicConfig {
  // "+" adds or changes an attribute; a new topic takes nothing else.
  return {
    ...before,
    topicName: topic.name,
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: readAndWrite,
    order: false,
    attributes: { '+message.type': topic.type },
  };
}

/** Where the broker puts messages that a popping group did not acknowledge in time. */
const retryTopic = (group: string, topic: string) => `%RETRY%${group}_${topic}`;

const bodyOf = (answer: RemotingAnswer): unknown => parseBody(answer.body.toString('utf8'));

/** The rows of an `offsetTable`, whose keys are queues. */
function offsetTable<T>(answer: RemotingAnswer): (T & { readonly queueId: number })[] {
  const table = (bodyOf(answer) as { offsetTable: Record<string, T> }).offsetTable;
  return Object.entries(table).map(([queue, row]) => ({
    ...row,
    queueId: (JSON.parse(queue) as { queueId: number }).queueId,
  }));
}

async function filter<T>(items: readonly T[], test: (item: T) => Promise<boolean>): Promise<T[]> {
  const verdicts = await Promise.all(items.map(test));
  return items.filter((_, index) => verdicts[index]);
}

const sum = (numbers: readonly number[]): number =>
  numbers.reduce((total, number) => total + number, 0);
