/** What the sandbox asks of every simulated provider, and the routes that all ledgers share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { controlRoute, wholeParameter, type ControlRoute } from './control.ts';
import type { Ledger } from './ledger.ts';

/** What a person saw, for the sandbox's page. */
export interface ShownMessage {
  readonly at: number;
  readonly to: string;
  readonly text: string;
}

export interface Simulator {
  /** The connector's name; its path on the shared port. */
  readonly name: string;
  /** Answers one call to the provider; `request.url` is as the provider would see it. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  readonly routes: readonly ControlRoute[];
  /** The newest messages on the device ledger, newest first. */
  shown(limit: number): readonly ShownMessage[];
  /** Back to the start: ledgers, faults, counters and settings; what was registered stays. */
  reset(): void;
  close(): Promise<void>;
}

/** `GET <path>`: filters by the ledger's keys, `sinceMs`, `limit` (default 100, at most 10000) and `order`. */
export function ledgerRoute<Entry, Key extends string>(
  path: string,
  ledger: Ledger<Entry, Key>,
  keys: readonly Key[],
): ControlRoute {
  return controlRoute({
    method: 'GET',
    path,
    handle: ({ query }) => {
      const where = Object.fromEntries(
        keys.flatMap((key) => (query.has(key) ? [[key, query.get(key) ?? '']] : [])),
      ) as Partial<Record<Key, string>>;
      const sinceMs = wholeParameter(query, 'sinceMs');
      const found = ledger.find({
        where,
        ...(sinceMs === undefined ? {} : { sinceMs }),
        limit: Math.min(wholeParameter(query, 'limit') ?? 100, 10_000),
        order: query.get('order') === 'oldest' ? 'oldest' : 'newest',
      });
      return { total: ledger.total(), ...found };
    },
  });
}
