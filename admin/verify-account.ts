import type { AccountAccess, Connector } from '../contracts/channel.ts';
import type { OutcomeClass } from '../contracts/outcome.ts';

export interface Verified {
  readonly works: boolean;
  readonly outcome: {
    readonly class: OutcomeClass;
    readonly providerCode?: string;
    readonly providerMessage?: string;
  };
  readonly durationMs: number;
}

const marginMs = 2000;

/** Asks a provider whether an account works, with a client of its own. What the provider or network does is an outcome, never an error. */
export async function verifyAccount(
  connector: Connector,
  access: AccountAccess,
): Promise<Verified> {
  const startedAt = Date.now();
  const client = connector.createClient(access);
  try {
    const signal = AbortSignal.timeout(connector.capabilities.callTimeoutMs + marginMs);
    const outcome = await client.verify(signal);
    const { providerCode, providerMessage } = outcome;
    return {
      works: outcome.class === 'accepted',
      outcome: {
        class: outcome.class,
        ...(providerCode !== undefined && { providerCode }),
        ...(providerMessage !== undefined && { providerMessage }),
      },
      durationMs: Date.now() - startedAt,
    };
  } finally {
    await client.close();
  }
}
