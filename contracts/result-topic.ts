/** A tenant's own result topic in RocketMQ. Carried by: admin API ↔ people; store → jobs. */
import { Type, type Static } from 'typebox';
import { toldStatuses, type ToldStatus } from './webhooks.ts';
import { endStatuses } from './status.ts';

export const ResultTopicEditSchema = Type.Object(
  {
    isEnabled: Type.Boolean({
      description:
        "Whether the tenant's results are published to a topic of its own, too. False: the topic stays, with what is in it.",
    }),
    statuses: Type.Optional(
      Type.Array(Type.Enum([...toldStatuses]), {
        minItems: 1,
        uniqueItems: true,
        description: 'Which statuses are told. Default: all that end a delivery, and receipts.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type ResultTopicEdit = Static<typeof ResultTopicEditSchema>;

/** As it is stored. */
export interface ResultTopic extends ResultTopicEdit {
  readonly version: number;
}

export const ResultTopicSchema = Type.Object({
  ...ResultTopicEditSchema.properties,
  statuses: Type.Array(Type.Enum([...toldStatuses])),
  topic: Type.String({
    description: 'Name of the topic (FIFO), and of the consumer group that is made with it.',
    examples: ['mc-results-shop'],
  }),
  version: Type.Integer(),
});

/** Of a tenant that never edited it. */
export const defaultResultTopic: ResultTopic = { isEnabled: false, version: 1 };

/** The statuses that are told. */
export function statusesTold({
  statuses = [...endStatuses],
}: ResultTopicEdit): readonly ToldStatus[] {
  return statuses;
}
