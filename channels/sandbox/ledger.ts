/** What a simulator remembers, in order of time and indexed, so that questions stay fast with hundreds of thousands of entries. */

export interface LedgerQuery<Key extends string> {
  /** Entries whose field has exactly this value. */
  readonly where?: Readonly<Partial<Record<Key, string>>>;
  /** Epoch milliseconds, included. */
  readonly sinceMs?: number;
  readonly limit?: number;
  /** Default newest first. */
  readonly order?: 'newest' | 'oldest';
}

export interface LedgerFound<Entry> {
  /** How many there are, whatever the limit. */
  readonly matched: number;
  readonly entries: readonly Entry[];
}

export interface Ledger<Entry, Key extends string> {
  add(entry: Entry): void;
  find(query?: LedgerQuery<Key>): LedgerFound<Entry>;
  /** Entries with this value, without listing them. */
  count(key: Key, value: string): number;
  /** How many different values there are. */
  distinct(key: Key): number;
  /** Values that more than one entry has, with how many. */
  repeated(key: Key): readonly { readonly value: string; readonly count: number }[];
  total(): number;
  clear(): void;
}

/** Makes a ledger over entries that come in order of `at`. Beyond `capacity` the oldest quarter is forgotten. */
export function createLedger<Entry extends { readonly at: number }, Key extends string>(options: {
  readonly keys: Readonly<Record<Key, (entry: Entry) => string>>;
  readonly capacity?: number;
}): Ledger<Entry, Key> {
  const { keys, capacity = 500_000 } = options;
  const names = Object.keys(keys) as Key[];
  const indexes = new Map(names.map((name) => [name, new Map<string, Entry[]>()]));
  let entries: Entry[] = [];

  const lookUp = (key: Key, value: string): readonly Entry[] => indexes.get(key)?.get(value) ?? [];
  const index = (entry: Entry) => {
    for (const name of names) {
      const byValue = indexes.get(name);
      const value = keys[name](entry);
      const same = byValue?.get(value);
      if (same === undefined) byValue?.set(value, [entry]);
      else same.push(entry);
    }
  };
  const clear = () => {
    entries = [];
    for (const byValue of indexes.values()) byValue.clear();
  };

  return {
    add: (entry) => {
      if (entries.length >= capacity) {
        const kept = entries.slice(Math.ceil(capacity / 4));
        clear();
        entries = kept;
        for (const each of kept) index(each);
      }
      entries.push(entry);
      index(entry);
    },
    find: ({ where = {}, sinceMs, limit = 100, order = 'newest' } = {}) => {
      const filters = (Object.entries(where) as [Key, string | undefined][]).flatMap(
        ([key, value]) => (value === undefined ? [] : [{ key, value }]),
      );
      const candidates = filters
        .map(({ key, value }) => lookUp(key, value))
        .reduce((least, list) => (list.length < least.length ? list : least), entries);
      let matching = candidates;
      if (filters.length > 1)
        matching = candidates.filter((entry) =>
          filters.every(({ key, value }) => keys[key](entry) === value),
        );
      const from = sinceMs === undefined ? 0 : firstAtOrAfter(matching, sinceMs);
      const matched = matching.length - from;
      return order === 'oldest'
        ? { matched, entries: matching.slice(from, from + limit) }
        : {
            matched,
            entries: matching.slice(Math.max(from, matching.length - limit)).toReversed(),
          };
    },
    count: (key, value) => lookUp(key, value).length,
    distinct: (key) => indexes.get(key)?.size ?? 0,
    repeated: (key) =>
      [...(indexes.get(key) ?? [])].flatMap(([value, same]) =>
        same.length > 1 ? [{ value, count: same.length }] : [],
      ),
    total: () => entries.length,
    clear,
  };
}

function firstAtOrAfter(entries: readonly { readonly at: number }[], timeMs: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.at ?? 0) < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
