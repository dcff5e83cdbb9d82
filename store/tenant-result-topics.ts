/** Which tenants have a result topic of their own; the default is none. */
import {
  defaultResultTopic,
  ResultTopicEditSchema,
  type ResultTopic,
  type ResultTopicEdit,
} from '../contracts/result-topic.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { createValidator } from '../platform/validate.ts';
import type { Database } from './database.ts';
import type { Store } from './index.ts';
import { createMirror } from './mirror.ts';
import { createTenantDocuments, type TenantDocuments } from './tenant-documents.ts';

export type TenantResultTopics = TenantDocuments<ResultTopicEdit, ResultTopic>;

const validator = createValidator(ResultTopicEditSchema);

export function createTenantResultTopics(db: Database): TenantResultTopics {
  return createTenantDocuments(db, {
    table: 'tenantResultTopics',
    column: 'settings',
    what: 'result topic',
    validator,
    initial: defaultResultTopic,
  });
}

/** The topics that are turned on, as the process that publishes to them knows them. */
export interface ResultTopicsInForce {
  of(tenantId: string): ResultTopic | undefined;
  tenants(): readonly string[];
  close(): Promise<void>;
}

const lookEveryMs = 500;

/** Reads them, and follows edits until closed. Errors: they could not be read at first: nobody may take that for none. */
export async function openResultTopics(options: {
  readonly store: Pick<Store, 'tenantResultTopics' | 'revisions'>;
  readonly logger: Logger;
}): Promise<ResultTopicsInForce> {
  const { store, logger } = options;
  const enabled = new Map<string, ResultTopic>();
  const mirror = createMirror({
    kind: 'tenants',
    changedSince: (revision, limit) => store.tenantResultTopics.changedSince(revision, limit),
    enter: ({ tenantId, document }) => {
      if (document.isEnabled) enabled.set(tenantId, document);
      else enabled.delete(tenantId);
    },
    clear: () => enabled.clear(),
    logger,
  });
  const look = async () => {
    const { tenants } = await store.revisions.read();
    await mirror.follow(tenants);
  };
  await look();
  const closing = new AbortController();
  let isFailing = false;
  const loop = (async () => {
    while (!closing.signal.aborted) {
      await pause(lookEveryMs, closing.signal);
      if (closing.signal.aborted) return;
      try {
        await look();
        isFailing = false;
      } catch (error) {
        if (!isFailing) logger.warn({ error }, 'result-topics.cannot-read');
        isFailing = true;
      }
    }
  })();
  return {
    of: (tenantId) => enabled.get(tenantId),
    tenants: () => [...enabled.keys()],
    close: async () => {
      closing.abort();
      await loop;
    },
  };
}
