/**
 * The stops as a process that starts or sends obeys them: read four times a second and confirmed. Who cannot read them for
 * the time of a lease is blind and may send nothing, so that a stop waits for nobody longer than that.
 */
import {
  scopeKey,
  scopeKeysOf,
  verdictOf,
  type Stop,
  type StopTarget,
  type Verdict,
} from '../contracts/stops.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Store } from './index.ts';
import { memberLeaseMs, type Member, type MemberRole } from './members.ts';
import { createMirror } from './mirror.ts';

/** blind: the stops could not be read lately; nothing may be sent. */
export type StopVerdict = Verdict | { readonly verdict: 'blind'; readonly detail: string };

export interface StopsInForce {
  readonly stopOf: (message: StopTarget) => StopVerdict;
  readonly isBlind: boolean;
  /** Gives the lease back: nobody waits for this process any more. Call it once nothing is sent any more. */
  close(): Promise<void>;
}

export interface OpenStopsOptions {
  readonly store: Pick<Store, 'stops' | 'members'>;
  readonly role: MemberRole;
  /** Another one for each start of a process. */
  readonly instanceId: string;
  readonly logger: Logger;
}

const lookEveryMs = 250;
const blindDetail = 'the database cannot be asked whether the message was stopped';

/** Resolves once the stops were read and confirmed; follows them until closed. */
export async function openStops(options: OpenStopsOptions): Promise<StopsInForce> {
  const { store, role, instanceId, logger } = options;
  const byScope = new Map<string, Map<string, Stop>>();
  const enter = (stop: Stop) => {
    const key = scopeKey(stop.tenantId, stop.scope);
    const stops = byScope.get(key) ?? new Map<string, Stop>();
    if (stop.endedAt === undefined) stops.set(stop.id, stop);
    else stops.delete(stop.id);
    if (stops.size > 0) byScope.set(key, stops);
    else byScope.delete(key);
  };
  const mirror = createMirror({
    kind: 'stops',
    changedSince: (revision, limit) => store.stops.changedSince(revision, limit),
    enter,
    clear: () => byScope.clear(),
    logger,
  });
  const closing = new AbortController();
  let isFailing = false;
  /** When the last good read began, on the clock that nobody sets. */
  let readAt: number | undefined;

  const look = async () => {
    const startedAt = performance.now();
    const revision = await store.stops.revision();
    await mirror.follow(revision);
    // Confirmed only now that it is in force. A read counts only where the lease was alive all through it: else a stop
    // may have been answered after the read, without waiting for us.
    const member: Member = { instanceId, role, confirmed: revision };
    if (!(await store.members.confirm(member)) && !(await isStill(member))) return;
    // A machine that is overloaded, or a process that hung: deliveries were held up by it.
    if (readAt !== undefined && performance.now() - readAt >= memberLeaseMs)
      logger.warn(
        { role, sinceLastReadMs: Math.round(performance.now() - readAt) },
        'stops.was-blind',
      );
    readAt = startedAt;
  };
  /** Alive only since this confirmation: whether what was read is still the newest. */
  const isStill = async ({ confirmed }: Member) => (await store.stops.revision()) === confirmed;
  const tryLook = async () => {
    try {
      await look();
      if (isFailing) logger.info({ role }, 'stops.following-again');
      isFailing = false;
    } catch (error) {
      if (!isFailing) logger.warn({ role, error }, 'stops.cannot-read');
      isFailing = true;
    }
  };
  const isBlind = () => readAt === undefined || performance.now() - readAt >= memberLeaseMs;
  for (;;) {
    await tryLook();
    if (!isBlind()) break;
    await pause(lookEveryMs);
  }
  const loop = (async () => {
    while (!closing.signal.aborted) {
      await pause(lookEveryMs, closing.signal);
      if (!closing.signal.aborted) await tryLook();
    }
  })();

  return {
    get isBlind() {
      return isBlind();
    },
    stopOf: (message) => {
      if (isBlind()) return { verdict: 'blind', detail: blindDetail };
      const stops = scopeKeysOf(message).flatMap((key) => [...(byScope.get(key)?.values() ?? [])]);
      return verdictOf(stops, message);
    },
    close: async () => {
      closing.abort();
      await loop;
      readAt = undefined;
      await store.members.leave(instanceId);
    },
  };
}
