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

/** A simulator's own port. */
export interface OwnListener {
  /** With its scheme: `smtp://127.0.0.1:2525`. */
  readonly url: string;
  /** False: connections are refused as if nobody listened; true: back on the same port. */
  readonly setListening: (isListening: boolean) => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface Simulator {
  /** The connector's name; its path on the shared port. */
  readonly name: string;
  /** Answers one HTTP call to the provider; `request.url` is as the provider would see it. Absent: it speaks another protocol. */
  handle?(request: IncomingMessage, response: ServerResponse): void;
  /** Listens on a port of its own, where the protocol is not HTTP/1.1. Errors: the port is taken. */
  listen?(address: { readonly host: string; readonly port: number }): Promise<OwnListener>;
  /**
   * Where receipts go from now on, also after a reset: by the simulator's name, or `<name>/<account>` where each account
   * has an address of its own. Others are not for it. Absent where there are none.
   */
  pushReceiptsTo?(urls: Readonly<Record<string, string>>): void;
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
