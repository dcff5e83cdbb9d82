/**
 * How much may be under way to each endpoint: a bound, so that a slow one holds up nobody else; one call at a time once it
 * has failed several times in a row, later and later; nothing while it has asked to be left alone.
 */
import { createProviderHttp, type ProviderHttp } from '../../platform/provider-http.ts';
import type { KnownEndpoint } from '../../store/index.ts';

/** Calls under way to one endpoint from one process. */
export const mostAtOnce = 16;
/** Failures in a row after which only one call at a time looks whether it works again. */
export const brokenAfter = 5;
const firstPauseMs = 1000;
const longestPauseMs = 30_000;

export interface Ended {
  readonly isDelivered: boolean;
  readonly retryAfterMs?: number | undefined;
}

/** Leave for one call; end or release it once. */
export interface Place {
  /** Says whether an endpoint that was broken works again. */
  end(ended: Ended, nowMs: number): boolean;
  /** Gives it back without a call. */
  release(): void;
}

export interface Lane {
  readonly http: ProviderHttp;
  /** Undefined: there is no room for another call now. */
  enter(nowMs: number): Place | undefined;
  /** Epoch milliseconds before which nothing is tried. */
  readonly openAtMs: number;
}

export interface EndpointLanes {
  of(known: KnownEndpoint): Lane;
  /** Forgets the lanes of endpoints that are not there any more. */
  keepOnly(exists: (endpointId: string) => boolean): void;
  close(): Promise<void>;
}

export interface LaneOptions {
  readonly allowPrivate: boolean;
  readonly timeoutMs: number;
}

/** Makes a lane when an endpoint is first sent to, and anew when its origin has changed. */
export function createEndpointLanes(options: LaneOptions): EndpointLanes {
  const lanes = new Map<string, Lane & { readonly origin: string }>();
  const closing = new Set<Promise<void>>();
  const drop = (id: string) => {
    const lane = lanes.get(id);
    lanes.delete(id);
    if (lane === undefined) return;
    const closed: Promise<void> = lane.http.close().finally(() => closing.delete(closed));
    closing.add(closed);
  };
  return {
    of: ({ endpoint: { id, url } }) => {
      const { origin } = new URL(url);
      const known = lanes.get(id);
      if (known?.origin === origin) return known;
      drop(id);
      const lane = Object.assign(createLane(origin, options), { origin });
      lanes.set(id, lane);
      return lane;
    },
    keepOnly: (exists) => {
      for (const id of lanes.keys()) if (!exists(id)) drop(id);
    },
    close: async () => {
      for (const id of lanes.keys()) drop(id);
      await Promise.all(closing);
    },
  };
}

function createLane(origin: string, options: LaneOptions): Lane {
  const http = createProviderHttp({ origin, ...options, maxConnections: mostAtOnce });
  let underWay = 0;
  let failuresInRow = 0;
  let looksInVain = 0;
  let openAtMs = 0;
  const isBroken = () => failuresInRow >= brokenAfter;
  return {
    http,
    get openAtMs() {
      return openAtMs;
    },
    enter: (nowMs) => {
      if (nowMs < openAtMs || underWay >= (isBroken() ? 1 : mostAtOnce)) return undefined;
      underWay += 1;
      const isLook = isBroken();
      return {
        release: () => void (underWay -= 1),
        end: ({ isDelivered, retryAfterMs = 0 }, atMs) => {
          underWay -= 1;
          if (isDelivered) {
            const wasBroken = isBroken();
            [failuresInRow, looksInVain, openAtMs] = [0, 0, 0];
            return wasBroken;
          }
          failuresInRow += 1;
          if (isLook) looksInVain += 1;
          const pauseMs = isBroken() ? firstPauseMs * 2 ** looksInVain : 0;
          openAtMs = Math.max(
            openAtMs,
            atMs + Math.max(Math.min(pauseMs, longestPauseMs), retryAfterMs),
          );
          return false;
        },
      };
    },
  };
}
