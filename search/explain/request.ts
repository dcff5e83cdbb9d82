/** Whether anybody can still open what a message is about. */
import { Type, type Static } from 'typebox';
import type { Snapshot } from '../../contracts/result.ts';
import type { Store } from '../../store/index.ts';
import type { MessageIndex } from '../../store/message-index.ts';

export const RequestSchema = Type.Object(
  {
    isReadable: Type.Boolean({
      description: 'false: the key of its day is destroyed; it cannot be sent again.',
    }),
    until: Type.Optional(
      Type.String({ format: 'date-time', description: 'When the key of its day is destroyed.' }),
    ),
  },
  { description: 'Its recipient and variables, sealed; missing where they are not kept.' },
);

/** undefined: not kept, or a server did not answer. `ask`: resolves with undefined when the server does not. */
export async function readRequest(
  deps: {
    readonly index: Pick<MessageIndex, 'sealedRequest'>;
    readonly store: Pick<Store, 'dayKeyRing'>;
  },
  { messageId, acceptedAt }: Snapshot,
  ask: <T>(server: 'Elasticsearch' | 'MySQL', of: () => Promise<T>) => Promise<T | undefined>,
): Promise<Static<typeof RequestSchema> | undefined> {
  const sealed = await ask('Elasticsearch', () => deps.index.sealedRequest(messageId, acceptedAt));
  if (sealed === undefined) return undefined;
  const untilMs = await ask('MySQL', () => deps.store.dayKeyRing.readableUntilMs(sealed));
  if (untilMs === undefined) return undefined;
  if (untilMs === 0) return { isReadable: false };
  return untilMs === Infinity
    ? { isReadable: true }
    : { isReadable: true, until: new Date(untilMs).toISOString() };
}
