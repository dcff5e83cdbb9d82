/** For whom the routes are: a service with its key, or a person who says which tenant they mean. */
import { Type, type TProperties } from 'typebox';
import type { Client } from '@elastic/elasticsearch';
import type { Names } from '../contracts/topics.ts';
import type { Logger } from '../platform/logger.ts';
import type { MessageIndex } from '../store/message-index.ts';
import type { HashRecipient } from './filter.ts';

/** Whose messages a call is about. Nothing of another tenant is ever found. */
export type TenantOf<Caller> = (input: {
  readonly caller: Caller;
  readonly query: { readonly tenantId?: string };
}) => Promise<string>;

export interface SearchDeps<Caller> {
  readonly client: Client;
  readonly names: Names;
  readonly index: MessageIndex;
  readonly logger: Logger;
  readonly hashRecipient: HashRecipient;
  readonly tenantOf: TenantOf<Caller>;
  /** people: they name the tenant in the query. services: their key is of one. */
  readonly audience: 'people' | 'services';
  /** Aborted when the process stops: ends exports. */
  readonly stopped: AbortSignal;
  /** Most messages of one export. Default 1,000,000. */
  readonly mostExported?: number;
}

/** The parameter that names the tenant, for people. Typed as if it were always there: services cannot send it. */
export function tenantQuery(audience: SearchDeps<unknown>['audience']) {
  const parameter = {
    tenantId: Type.Optional(
      Type.String({ maxLength: 64, description: 'Whose messages; `demo` unless given.' }),
    ),
  };
  return (audience === 'people' ? parameter : {}) as typeof parameter satisfies TProperties;
}
