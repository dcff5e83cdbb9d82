/** Which messages: the parameters that lists, counts and exports have in common, and the filter they come to. */
import { Type, type Static, type TProperties } from 'typebox';
import { addressKinds, kinds, type AddressKind, type To } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { attemptOutcomes } from '../contracts/result.ts';
import { statuses } from '../contracts/status.ts';
import { priorities } from '../contracts/topics.ts';
import { canonicalLocale, localeFault } from '../contracts/locale.ts';
import { createValidator, type Validator } from '../platform/validate.ts';
import type { MessageFilter } from '../store/message-index.ts';

/** Keyed hash of an address in any of its spellings, as messages of the tenant carry it. */
export type HashRecipient = (tenantId: string, to: To) => string;

export const optionalText = (description: string, maxLength: number) =>
  Type.Optional(Type.String({ description, minLength: 1, maxLength }));
const optionalTime = (description: string) =>
  Type.Optional(
    Type.String({ format: 'date-time', description, examples: ['2026-11-21T00:00:00Z'] }),
  );

/** Parameters of a query string; all given must match. */
export const filterQuery = {
  id: optionalText('Id of the message.', 64),
  status: Type.Optional(Type.Enum([...statuses], { description: 'Where the message stands.' })),
  kind: Type.Optional(Type.Enum([...kinds], { description: 'Kind of its template.' })),
  channel: optionalText('Channel: sms, push, email.', 64),
  connector: optionalText('Connector: one protocol of one provider.', 64),
  template: optionalText("The template's name.", 64),
  locale: optionalText('Language that it was rendered in: zh-CN.', 35),
  account: optionalText('Id of the channel account.', 64),
  batch: optionalText('Name of the batch.', 128),
  orderingKey: optionalText('The ordering key.', 128),
  providerId: optionalText("The provider's own id of the message.", 512),
  priority: Type.Optional(Type.Enum([...priorities], { description: 'Lane.' })),
  to: Type.Optional(
    Type.String({
      maxLength: 1100,
      description: 'A whole address: a phone number, or kind:value for any other.',
      examples: ['13900001111', 'email:li.lei@example.com', 'openid:oABCD0123456789abcdefghijklm'],
    }),
  ),
  reason: optionalText('Code of the reason: expired, or the outcome of the last attempt.', 64),
  attemptOutcome: Type.Optional(
    Type.Enum([...attemptOutcomes], {
      description: 'What any of its attempts came to, since it was redriven last.',
    }),
  ),
  providerCode: optionalText("The provider's code of any of those attempts.", 200),
  metadata: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9_.-]{1,64}:',
      maxLength: 321,
      description: 'One of your own keys and its whole value, with a colon between them.',
      examples: ['orderId:SO-1001'],
    }),
  ),
  text: optionalText(
    'Words that follow each other in the content; only messages of templates whose content may be searched are found.',
    200,
  ),
  from: optionalTime('Accepted at this time or later.'),
  until: optionalTime('Accepted before this time.'),
} satisfies TProperties;

const FilterQuerySchema = Type.Object(filterQuery);
export type FilterQuery = Static<typeof FilterQuerySchema>;

/** What the parameters ask for, within the tenant. Errors: validation-failed (`until`, `to`, `locale`). */
export function toFilter(
  query: FilterQuery,
  tenantId: string,
  hashRecipient: HashRecipient,
): MessageFilter {
  const { id, account, to, metadata, from, until } = query;
  if (from !== undefined && until !== undefined && Date.parse(from) >= Date.parse(until))
    throw queryFault('until', 'must be later than from');
  return {
    tenantId,
    messageId: id,
    status: query.status,
    kind: query.kind,
    channel: query.channel,
    connector: query.connector,
    template: query.template,
    locale: query.locale === undefined ? undefined : readLocale(query.locale),
    accountId: account,
    batch: query.batch,
    orderingKey: query.orderingKey,
    providerId: query.providerId,
    priority: query.priority,
    recipientHash: to === undefined ? undefined : hashRecipient(tenantId, readQueryAddress(to)),
    reason: query.reason,
    attemptOutcome: query.attemptOutcome,
    providerCode: query.providerCode,
    metadata: metadata === undefined ? undefined : splitPair(metadata),
    text: query.text,
    from,
    until,
  };
}

/** The problem of one parameter. */
export function queryFault(name: string, detail: string) {
  return problem('validation-failed', {
    detail: `query/${name} ${detail}`,
    errors: [{ pointer: `query/${name}`, detail }],
  });
}

const addressValidators = Object.fromEntries(
  Object.entries(addressKinds).map(([kind, { schema }]) => [kind, createValidator(schema)]),
) as Record<AddressKind, Validator<string>>;

/** Reads a phone number, or `kind:value` of any other address; a text says what is wrong with it. */
export function readAddress(text: string): To | string {
  const [, kind = 'phone', value = text] = /^([a-zA-Z]+):(.*)$/s.exec(text) ?? [];
  const validator = Object.hasOwn(addressValidators, kind)
    ? addressValidators[kind as AddressKind]
    : undefined;
  if (validator === undefined)
    return `must be a phone number, or begin with one of ${Object.keys(addressKinds).join(', ')} and a colon`;
  return validator.faults(value)[0]?.detail ?? ({ [kind]: value } as To);
}

function readQueryAddress(text: string): To {
  const address = readAddress(text);
  if (typeof address === 'string') throw queryFault('to', address);
  return address;
}

function readLocale(tag: string): string {
  const fault = localeFault(tag);
  if (fault !== undefined) throw queryFault('locale', fault);
  return canonicalLocale(tag) ?? tag;
}

/** Keys have no colon, values may. */
function splitPair(pair: string): { key: string; value: string } {
  const colon = pair.indexOf(':');
  return { key: pair.slice(0, colon), value: pair.slice(colon + 1) };
}
