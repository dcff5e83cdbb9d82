/** Ports of the local servers: the usual ones plus one offset, so that several stacks run side by side. */
import { createServer } from 'node:net';

const defaultPorts = {
  rocketmqNameServer: 9876,
  /** The broker also takes the port two below this one. */
  rocketmqBroker: 10911,
  rocketmqBrokerFast: 10909,
  rocketmqBrokerReplication: 10912,
  rocketmqProxyGrpc: 8081,
  rocketmqProxyRemoting: 8080,
  temporalGrpc: 7233,
  temporalUi: 8233,
  temporalMetrics: 9233,
  elasticsearchHttp: 9200,
  elasticsearchTransport: 9300,
  mysql: 3306,
} as const;

export type Ports = { readonly [K in keyof typeof defaultPorts]: number };

/** The ports of a stack. Errors: an offset that pushes one of them past 65535. */
export function portsAt(offset: number): Ports {
  const highest = Math.max(...Object.values(defaultPorts));
  if (offset < 0 || highest + offset > 65_535)
    throw new Error(`MC_PORT_OFFSET must be from 0 to ${65_535 - highest}, not ${offset}.`);
  return Object.fromEntries(
    Object.entries(defaultPorts).map(([name, port]) => [name, port + offset]),
  ) as unknown as Ports;
}

/** Makes sure that nobody listens on a loopback port. Errors: one sentence with the port, its user and the way out. */
export async function assertPortIsFree(port: number, wantedBy: string): Promise<void> {
  const fault = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const probe = createServer();
    probe.once('error', resolve);
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(undefined)));
  });
  if (fault === undefined) return;
  const reason =
    fault.code === 'EADDRINUSE'
      ? 'is taken by another program'
      : `cannot be used (${fault.message})`;
  throw new Error(
    `Port ${port}, which ${wantedBy} wants, ${reason}; set MC_PORT_OFFSET (for example 20000) to move all local servers, or stop that program.`,
  );
}
