/** Tells of a message: its snapshot to the results topic. */
import { toEvent, type Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import type { Publisher } from './queue.ts';

/** What is told together travels together. Errors: PublishError. */
export function publishSnapshot(
  deps: { readonly publisher: Pick<Publisher, 'publish'>; readonly names: Pick<Names, 'results'> },
  snapshot: Snapshot,
): Promise<void> {
  const event = { key: snapshot.messageId, body: JSON.stringify(toEvent(snapshot)) };
  return deps.publisher.publish(deps.names.results, event, { isPackable: true });
}
