/**
 * Accounts that are at fault: their circuit is open and their queue held. The connector's harmless call tries them, later and
 * later; an edit of the account is tried at once. What it takes closes the circuit, and deliveries go on by themselves.
 */
import type { AccountAccess, Connector } from '../contracts/channel.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import type { Account } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Publisher } from '../platform/queue.ts';
import type { Circuit, Circuits, Verification } from '../store/index.ts';

export interface TryCircuitsDeps {
  readonly circuits: Pick<Circuits, 'listOpen' | 'postpone' | 'close'>;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly accountOf: (accountId: string) => Promise<Account | undefined>;
  readonly access: (accountId: string) => Promise<AccountAccess | undefined>;
  readonly publisher: Publisher;
  readonly names: Names;
  /** Keeps what a try came to, for people. */
  readonly record: (accountId: string, verification: Verification) => Promise<void>;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
}

const everyMs = 1000;
const verifyWithinMs = 15_000;

/** Runs until stopped. */
export function tryCircuits(deps: TryCircuitsDeps): { stop(): Promise<void> } {
  const { logger, circuits } = deps;
  const stopped = new AbortController();
  /** Account → version of it that was tried because it had been edited: once is enough. */
  const triedEdits = new Map<string, number>();
  const tryOne = async (circuit: Circuit) => {
    const { accountId, tenantId } = circuit;
    const account = await deps.accountOf(accountId);
    const isEdited =
      account !== undefined &&
      account.updatedAt > circuit.openedAt &&
      triedEdits.get(accountId) !== account.version;
    if (account !== undefined && !isEdited && Date.parse(circuit.nextTryAt) > Date.now()) return;
    if (account !== undefined) triedEdits.set(accountId, account.version);
    const outcome = account === undefined ? 'removed' : await verify(deps, account);
    if (outcome !== 'removed' && outcome.class !== 'accepted' && outcome.class !== 'duplicate') {
      await circuits.postpone(accountId, Date.now());
      logger.warn({ accountId, tenantId, outcome }, 'circuit.still-open');
      return;
    }
    if (!(await circuits.close(accountId, Date.now()))) return;
    logger.info({ accountId, tenantId, openedAt: circuit.openedAt }, 'circuit.closed');
    await deps.publisher.publish(
      deps.names.alerts,
      {
        key: accountId,
        body: JSON.stringify({
          version: 1,
          at: new Date().toISOString(),
          kind: 'account-recovered',
          tenantId,
          accountId,
          reason: circuit.reason,
        }),
      },
      { deadlineMs: 3000 },
    );
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        if (await deps.holdsLease())
          for (const circuit of await circuits.listOpen()) await tryOne(circuit);
      } catch (error) {
        logger.warn({ error }, 'circuits.postponed');
      }
      await pause(everyMs, stopped.signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

async function verify(deps: TryCircuitsDeps, account: Account): Promise<SendOutcome> {
  const connector = deps.connectors.get(account.connector);
  const access = await deps.access(account.id);
  if (connector === undefined || access === undefined)
    return { class: 'transient', providerMessage: 'the account cannot be read now' };
  const client = connector.createClient(access);
  try {
    const startedAt = Date.now();
    const outcome = await client.verify(AbortSignal.timeout(verifyWithinMs));
    const { class: outcomeClass, providerCode, providerMessage } = outcome;
    const verification = {
      works: outcomeClass === 'accepted',
      outcome: {
        class: outcomeClass,
        ...(providerCode !== undefined && { providerCode }),
        ...(providerMessage !== undefined && { providerMessage }),
      },
      durationMs: Date.now() - startedAt,
    };
    await deps.record(account.id, verification).catch((error: unknown) => {
      deps.logger.warn({ error, accountId: account.id }, 'circuit.try-unrecorded');
    });
    return outcome;
  } finally {
    await client.close();
  }
}
