/** Group robots of the WeCom simulator: webhook/send. */
import type { FaultRule } from '../sandbox/faults.ts';
import type { ProviderBooks, ServedReply } from '../sandbox/provider.ts';
import { createWindows } from './simulator-limits.ts';
import { readJson } from './simulator-messages.ts';
import { done, refuse, type WecomSettings } from './simulator-settings.ts';

export interface RobotDesk {
  send(key: string | null, raw: string, fault: FaultRule | undefined): ServedReply;
  /** A robot of a group from now on; it stays over a reset. */
  add(group: string, key: string): void;
  /** The group whose robot has this key. */
  groupOf(key: string | null): string | undefined;
  clear(): void;
}

const minuteMs = 60_000;
const maxBytes: Readonly<Record<string, number>> = { text: 2048, markdown: 4096 };

/** Makes the robots; `robots` is group's name → key. */
export function createRobotDesk(options: {
  readonly books: Pick<ProviderBooks, 'accepted' | 'device'>;
  readonly robots: Readonly<Record<string, string>>;
  readonly settings: () => WecomSettings;
  readonly now: () => number;
}): RobotDesk {
  const { books, settings, now } = options;
  const groups = new Map(Object.entries(options.robots).map(([name, key]) => [key, name]));
  const sent = createWindows(now, minuteMs);
  const groupOf = (key: string | null) => groups.get(key ?? '');
  return {
    groupOf,
    add: (group, key) => void groups.set(key, group),
    send: (key, raw, fault) => {
      const group = groupOf(key);
      if (group === undefined) return refuse(93000, 'invalid webhook url');
      const read = readJson(raw);
      if (read.refusal !== undefined) return read.refusal;
      const { msgtype } = read.value;
      const most = typeof msgtype === 'string' ? maxBytes[msgtype] : undefined;
      if (typeof msgtype !== 'string' || most === undefined)
        return refuse(40008, 'invalid message type');
      const part = read.value[msgtype];
      const { content, mentioned_list, mentioned_mobile_list } = (
        typeof part === 'object' && part !== null ? part : {}
      ) as Readonly<Record<string, unknown>>;
      if (typeof content !== 'string' || content === '') return refuse(44004, 'empty content');
      if (Buffer.byteLength(content) > most)
        return refuse(40058, `${msgtype}.content exceed max length ${most}`);
      for (const list of [mentioned_list, mentioned_mobile_list])
        if (list !== undefined && !isStrings(list)) return refuse(40058, 'invalid mentioned list');
      if (sent.within(group, minuteMs) >= (settings().robotPerMinute ?? Infinity))
        return refuse(45009, 'api freq out of limit');
      sent.count(group);
      const message = { at: Date.now(), to: group, ref: '', text: content };
      books.accepted.add({ ...message, providerId: '' });
      if (fault?.kind !== 'silent-drop') books.device.add({ ...message, shown: 1, isGone: false });
      return done();
    },
    clear: () => sent.clear(),
  };
}

const isStrings = (value: unknown) =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');
