/** How many messages a tenant may send. Carried by: admin API ↔ people; store → ingest. */
import { Type, type Static } from 'typebox';
import type { Priority } from './topics.ts';

const QuotaSchema = Type.Object(
  {
    perSecond: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'Messages in a second, over all ingest processes; a burst of one second more.',
      }),
    ),
    perDay: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000_000_000,
        description: 'Messages in a day, 00:00 to 24:00 UTC.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type Quota = Static<typeof QuotaSchema>;

const ofLane = Type.Optional(QuotaSchema);
const lanes = { critical: ofLane, normal: ofLane, bulk: ofLane } satisfies Record<
  Priority,
  unknown
>;

export const TenantQuotasEditSchema = Type.Object(
  {
    total: Type.Optional(
      Type.Unsafe<Quota>({ ...QuotaSchema, description: 'All lanes together.' }),
    ),
    lanes: Type.Optional(
      Type.Object(lanes, {
        additionalProperties: false,
        description: 'Of one lane, besides what holds for all together.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type TenantQuotasEdit = Static<typeof TenantQuotasEditSchema>;

export const TenantQuotasSchema = Type.Object({
  ...TenantQuotasEditSchema.properties,
  version: Type.Integer(),
});
export type TenantQuotas = Static<typeof TenantQuotasSchema>;

/** Of a tenant whose quotas were never edited: none. */
export const defaultTenantQuotas: TenantQuotas = { version: 1 };
