/** Every connector there is. A new channel is its folder and one line here. */
import type { Connector } from '../contracts/channel.ts';
import { createSmsAliyun } from './sms-aliyun/index.ts';

export interface ConnectorDeps {
  /** Whether channel accounts may point at loopback and private addresses, as the sandbox's do. */
  readonly allowPrivateProviders: boolean;
}

/** All connectors by name (`sms-aliyun`). Cheap: connections are made by `createClient` only. */
export function createConnectors(deps: ConnectorDeps): ReadonlyMap<string, Connector> {
  const connectors = [createSmsAliyun(deps)];
  return new Map(connectors.map((connector) => [connector.name, connector]));
}
