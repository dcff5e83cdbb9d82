/** The sealed requests of many messages in one call. */
import type { Client } from '@elastic/elasticsearch';
import { Type } from 'typebox';
import type { Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import { orSearchProblem, searchUnavailable } from '../platform/elasticsearch.ts';
import { createValidator } from '../platform/validate.ts';
import { requestId } from './message-index-write.ts';

export type KeptRequest =
  | { readonly result: 'kept'; readonly sealed: string }
  /** `erased`: with its person; `gone`: with its day, or it was never indexed. */
  | { readonly result: 'erased' | 'gone' };

const keptValidator = createValidator(Type.Object({ sealed: Type.String() }));
const erasedValidator = createValidator(Type.Object({ erasedAt: Type.String() }));

/** Makes the call: one answer for each message, in their order. Errors: the problem search-unavailable. */
export function createReadRequests({ client, names }: { client: Client; names: Names }) {
  return async (
    messages: readonly Pick<Snapshot, 'messageId' | 'acceptedAt'>[],
  ): Promise<readonly KeptRequest[]> => {
    if (messages.length === 0) return [];
    const docs = messages.map(({ messageId, acceptedAt }) => ({
      _index: names.attemptIndex(acceptedAt),
      _id: requestId(messageId),
    }));
    const response = await orSearchProblem(client.mget({ docs }));
    return response.docs.map((doc): KeptRequest => {
      if (!('error' in doc)) return readKept(doc._source);
      if (doc.error.type === 'index_not_found_exception') return { result: 'gone' };
      throw searchUnavailable(new Error(`${doc.error.type}: ${doc.error.reason ?? ''}`));
    });
  };
}

function readKept(source: unknown): KeptRequest {
  if (keptValidator.check(source)) return { result: 'kept', sealed: source.sealed };
  return { result: erasedValidator.check(source) ? 'erased' : 'gone' };
}
