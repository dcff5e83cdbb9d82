/** What may be promised at the last hop, from a connector's capabilities: the docs' table and its test read it here. */
import type { ChannelCapabilities } from '../contracts/channel.ts';

export const promises = {
  'exactly once':
    'A person gets it once: the provider knows a repeat again, or is asked before one.',
  'seen once': 'The device may be rung twice, and shows one: a repeat replaces the first.',
  'at least once':
    'A notice whose answer was lost is sent again and may be there twice: never more repeats than lost answers, and the test counts both. A one-time password or marketing ends as `unknown` instead.',
} as const;
export type LastHopPromise = keyof typeof promises;

/** The promise for a notice. */
export function lastHopPromise({ dedupe, canReconcile }: ChannelCapabilities): LastHopPromise {
  if (dedupe.by === 'key' || canReconcile) return 'exactly once';
  return dedupe.by === 'overwrite' ? 'seen once' : 'at least once';
}

/** What makes it true, in a few words. */
export function lastHopReason({ dedupe, canReconcile }: ChannelCapabilities): string {
  if (dedupe.by === 'key')
    return `the provider knows the key of a repeat for ${span(dedupe.windowMs)}`;
  if (canReconcile) return 'the provider’s books are asked before any repeat';
  if (dedupe.by === 'overwrite') return 'a repeat has the same tag on the device';
  return 'the provider recognises nothing';
}

/** A time in the largest unit that fits: `10 min`, `1 day`. */
export function span(ms: number): string {
  const units = [
    ['day', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ] as const;
  const [name, size] = units.find(([, unit]) => ms >= unit) ?? ['ms', 1];
  const count = Math.round(ms / size);
  return `${count} ${name}${name === 'day' && count > 1 ? 's' : ''}`;
}
