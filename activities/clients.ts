/** Connector clients by account: made at first use, made anew when the account changes, closed when it goes. */
import type { AccountAccess, Connector, ConnectorClient } from '../contracts/channel.ts';

export interface Clients {
  /** The client of an account as it is configured now. Errors: unknown account or connector; the store does not answer. */
  of(accountId: string): Promise<{ connector: Connector; client: ConnectorClient }>;
  close(): Promise<void>;
}

export interface ClientsDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  /** A live account's connector name. */
  readonly connectorOf: (accountId: string) => Promise<string | undefined>;
  /** A live account's settings and secrets: the same object until the account is edited. */
  readonly access: (accountId: string) => Promise<AccountAccess | undefined>;
}

/** Makes an empty cache of clients. */
export function createClients({ connectors, connectorOf, access }: ClientsDeps): Clients {
  const open = new Map<
    string,
    { access: AccountAccess; client: ConnectorClient; connector: Connector }
  >();
  return {
    of: async (accountId) => {
      const [found, name] = await Promise.all([access(accountId), connectorOf(accountId)]);
      const connector = name === undefined ? undefined : connectors.get(name);
      if (found === undefined || connector === undefined)
        throw new Error(
          `channel account ${accountId} was removed, or uses a connector this build does not have`,
        );
      const known = open.get(accountId);
      if (known?.access === found) return known;
      const made = { access: found, client: connector.createClient(found), connector };
      open.set(accountId, made);
      // Calls under way on the old client finish; close waits for them.
      if (known !== undefined) await known.client.close();
      return made;
    },
    close: async () => {
      await Promise.all([...open.values()].map(({ client }) => client.close()));
      open.clear();
    },
  };
}
