/** Talking to Temporal with the payload codec on, for processes that run no worker. */
import { fileURLToPath } from 'node:url';
import { Client, Connection, type ConnectionLike } from '@temporalio/client';
import {
  defineSearchAttributeKey,
  SearchAttributeType,
  type DataConverter,
} from '@temporalio/common';
import { createPayloadCodec } from './payload-codec.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import { priorityKeys, type Names } from '../contracts/topics.ts';
import type { DeliverInput, DeliverRoute } from '../contracts/workflows.ts';
import type { Sealer } from './seal.ts';

/** What operators filter deliveries by in the Temporal UI. No personal data: these are never encrypted. */
export const searchAttributes = {
  tenant: defineSearchAttributeKey('McTenant', SearchAttributeType.KEYWORD),
  channel: defineSearchAttributeKey('McChannel', SearchAttributeType.KEYWORD),
  account: defineSearchAttributeKey('McAccount', SearchAttributeType.KEYWORD),
  template: defineSearchAttributeKey('McTemplate', SearchAttributeType.KEYWORD),
  batch: defineSearchAttributeKey('McBatch', SearchAttributeType.KEYWORD),
  priority: defineSearchAttributeKey('McPriority', SearchAttributeType.KEYWORD),
  state: defineSearchAttributeKey('McState', SearchAttributeType.KEYWORD),
} as const;

/** The attributes that a message's run starts with. */
export function messageAttributes(
  of: Pick<
    AcceptedMessage,
    'tenantId' | 'channel' | 'accountId' | 'template' | 'priority' | 'batch'
  >,
) {
  return [
    ...(of.batch === undefined ? [] : [{ key: searchAttributes.batch, value: of.batch }]),
    { key: searchAttributes.tenant, value: of.tenantId },
    { key: searchAttributes.channel, value: of.channel },
    { key: searchAttributes.account, value: of.accountId },
    { key: searchAttributes.template, value: of.template },
    { key: searchAttributes.priority, value: of.priority },
  ];
}

/** Every way of a message, with the queue of its account. */
export function deliverRoutes(
  names: Pick<Names, 'sendQueue'>,
  message: Pick<AcceptedMessage, 'connector' | 'channel' | 'accountId' | 'routes'>,
): readonly DeliverRoute[] {
  const { connector, channel, accountId } = message;
  return (message.routes ?? [{ connector, channel, accountId }]).map((route) => ({
    ...route,
    sendQueue: names.sendQueue(route.accountId),
  }));
}

/** Whose turn a run is: by lane, then by tenant. */
export function runPriority({
  priority,
  tenantId,
}: Pick<AcceptedMessage, 'priority' | 'tenantId'>) {
  return { priorityKey: priorityKeys[priority], fairnessKey: tenantId.slice(0, 64) };
}

/** How the run of a message starts, first and again: its id, queue, place in the account's queue, and list filters. */
export function deliverStart(names: Pick<Names, 'deliverQueue'>, input: DeliverInput) {
  const { message } = input;
  return {
    workflowId: message.id,
    taskQueue: names.deliverQueue,
    args: [input],
    workflowIdConflictPolicy: 'FAIL',
    priority: runPriority(message),
    typedSearchAttributes: messageAttributes(message),
  } as const;
}

export interface TemporalOptions {
  readonly address: string;
  readonly namespace: string;
  readonly sealer: Sealer;
}

export interface TemporalLink {
  readonly client: Client;
  readonly namespace: string;
  close(): Promise<void>;
}

/** Part of the workflows' bundle, too. */
export const failureConverterPath = fileURLToPath(
  new URL(`./failure-converter.${import.meta.url.slice(-2)}`, import.meta.url),
);

/** How payloads are converted, for clients, workers and replays alike. */
export function createDataConverter(sealer: Sealer): DataConverter {
  return { payloadCodecs: [createPayloadCodec(sealer)], failureConverterPath };
}

/** A client on a connection, with the codec. */
export function createTemporalClient(
  connection: ConnectionLike,
  options: Omit<TemporalOptions, 'address'>,
): Client {
  const { namespace, sealer } = options;
  return new Client({ connection, namespace, dataConverter: createDataConverter(sealer) });
}

/** Connects lazily: a frontend that is down is met at the first call, and calls work again once it is back. */
export function connectTemporalClient(options: TemporalOptions): TemporalLink {
  const connection = Connection.lazy({
    address: options.address,
    // Left to itself gRPC waits up to two minutes before it tries a server again that was away.
    channelArgs: { 'grpc.max_reconnect_backoff_ms': 2000 },
  });
  return {
    client: createTemporalClient(connection, options),
    namespace: options.namespace,
    close: () => connection.close(),
  };
}
