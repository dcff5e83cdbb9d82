/** A copy in memory of one kind's rows, kept up with the table by reading what was edited since the last look. */
import type { Logger } from '../platform/logger.ts';
import type { Change, RevisionKind } from './revisions.ts';

export interface MirrorOptions<Entry> {
  readonly kind: RevisionKind;
  readonly changedSince: (revision: number, limit: number) => Promise<Change<Entry>[]>;
  /** Enters a row, in place of its older state. */
  readonly enter: (entry: Entry) => void;
  readonly clear: () => void;
  readonly logger: Logger;
}

export interface Mirror {
  readonly kind: RevisionKind;
  /** Counts up whenever rows came in: what was read before may be older than what is here. 0: never filled. */
  readonly generation: () => number;
  /** Catches up with the table whose revision is `number`; resolves with the ids that changed. */
  readonly follow: (number: number) => Promise<string[]>;
}

const pageSize = 500;

export function createMirror<Entry>(options: MirrorOptions<Entry>): Mirror {
  const { kind, enter, clear, logger } = options;
  let position = -1;
  let generation = 0;
  return {
    kind,
    generation: () => generation,
    follow: async (number) => {
      if (number === position) return [];
      // A smaller number means another database or a restored backup: what we hold is of another past.
      const isReset = number < position;
      const changes = await readPages(options, isReset ? 0 : Math.max(position, 0));
      if (isReset) clear();
      generation += 1;
      for (const change of changes) {
        try {
          enter(change.read());
        } catch (error) {
          // One bad row must not keep all others from being followed.
          logger.error({ error, kind, id: change.id }, 'directory.row-unreadable');
        }
      }
      position = Math.max(number, changes.at(-1)?.revision ?? 0);
      return changes.map((change) => change.id);
    },
  };
}

async function readPages<Entry>(
  { changedSince }: MirrorOptions<Entry>,
  since: number,
): Promise<Change<Entry>[]> {
  const all: Change<Entry>[] = [];
  for (;;) {
    const page = await changedSince(all.at(-1)?.revision ?? since, pageSize);
    all.push(...page);
    if (page.length < pageSize) return all;
  }
}
