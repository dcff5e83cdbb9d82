/** Erasure of a person at their request. Carried by: MySQL, ingest → jobs. */
import { Type, type Static } from 'typebox';

export const erasureStates = ['running', 'done'] as const;

export const ErasureSchema = Type.Object({
  id: Type.String({ examples: ['ers_01k4z8v3m2q7w9c5x1y6t0r8na'] }),
  state: Type.Enum([...erasureStates], {
    description:
      'done: no document of the search index and no row of the database tells of the person any more.',
  }),
  messages: Type.Integer({ description: 'Messages that were erased so far.' }),
  createdAt: Type.String({ format: 'date-time' }),
  doneAt: Type.Optional(Type.String({ format: 'date-time' })),
  goneBy: Type.String({
    format: 'date-time',
    description:
      'From when on nobody can open what is left of it in the queue, in histories of deliveries or in backups of them: the keys of the days on which this person can have been written to are destroyed. Most copies go earlier, by age.',
  }),
});
export type Erasure = Static<typeof ErasureSchema>;
