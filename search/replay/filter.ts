/** Which messages a replay looks at: the filter of the search, of one template and within a span of time. */
import { Type, type Static } from 'typebox';
import type { MessageFilter } from '../../store/message-index.ts';
import { filterQuery, toFilter } from '../filter.ts';

const { template: _theOne, to: _nobody, from: _from, until: _until, ...parts } = filterQuery;
const time = (description: string) =>
  Type.String({ format: 'date-time', description, examples: ['2026-11-21T08:00:00Z'] });

export const ReplayFilterSchema = Type.Object(
  {
    from: time('Accepted at this time or later.'),
    until: time('Accepted before this time; at most 24 hours after from.'),
    ...parts,
  },
  { additionalProperties: false, description: 'All given must match, as in the search.' },
);

/** The filter. Errors: none, for one whose times are in order. */
export function replayFilter(
  filter: Static<typeof ReplayFilterSchema>,
  { tenantId, template }: { readonly tenantId: string; readonly template: string },
): MessageFilter {
  return toFilter({ ...filter, template }, tenantId, () => '');
}
