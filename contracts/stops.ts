/**
 * Stops: people take back or pause what has been accepted, by batch, template, tenant or channel account.
 * Carried by: MySQL, admin and ingest → bridge, worker, jobs.
 */
import { Type, type Static } from 'typebox';
import type { AcceptedMessage } from './message.ts';

export const stopActions = ['recall', 'pause'] as const;
export type StopAction = (typeof stopActions)[number];

export const stopScopeKinds = ['batch', 'template', 'tenant', 'account'] as const;

const scopeSchema = <Kind extends string>(kinds: readonly Kind[]) =>
  Type.Object(
    {
      kind: Type.Enum([...kinds]),
      value: Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$',
        description:
          "Name of the batch or template (names within a tenant), the tenant's id, or the channel account's id.",
        examples: ['spring-2027'],
      }),
    },
    { additionalProperties: false },
  );

/** What people may stop. */
export const ChosenScopeSchema = scopeSchema(stopScopeKinds);
export type ChosenScope = Static<typeof ChosenScopeSchema>;

/** recipient: everything to one recipient, by keyed hash, since the person is erased. */
const StopScopeSchema = scopeSchema([...stopScopeKinds, 'recipient']);
export type StopScope = Static<typeof StopScopeSchema>;

export const StopReasonSchema = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'Why; shown with every message that it stops. No personal data.',
  examples: ['wrong price in the text'],
});

export const StopSchema = Type.Object({
  id: Type.String(),
  action: Type.Enum([...stopActions]),
  scope: StopScopeSchema,
  tenantId: Type.String(),
  acceptedBefore: Type.Optional(
    Type.String({
      format: 'date-time',
      description: 'A recall is of the messages accepted up to then; a pause of all.',
    }),
  ),
  reason: Type.String(),
  createdAt: Type.String({ format: 'date-time' }),
  endedAt: Type.Optional(
    Type.String({ format: 'date-time', description: 'When a pause was resumed.' }),
  ),
  revision: Type.Integer(),
});
export type Stop = Static<typeof StopSchema>;

/** A stop, and who does not obey it yet. */
export const StopReplySchema = Type.Object({
  ...StopSchema.properties,
  missing: Type.Array(Type.Object({ role: Type.String(), instanceId: Type.String() }), {
    description: 'Processes that live and have not confirmed it in time; empty: it is in force.',
  }),
});
export type StopReply = Static<typeof StopReplySchema>;

/** What a stop is asked about. */
export type StopTarget = Pick<
  AcceptedMessage,
  'tenantId' | 'template' | 'batch' | 'accountId' | 'recipientHash' | 'acceptedAt'
>;

export interface Verdict {
  readonly verdict: 'go' | 'paused' | 'recalled';
  /** Which scope, and why it was stopped; empty for go. */
  readonly detail: string;
}

/** One text for a scope: what a stop and the messages of its scope have in common. */
export function scopeKey(tenantId: string, { kind, value }: StopScope): string {
  return `${tenantId}/${kind}/${value}`;
}

/** The keys of all scopes that a message is in. */
export function scopeKeysOf(target: StopTarget): string[] {
  const { tenantId, template, batch, accountId, recipientHash } = target;
  const scopes: StopScope[] = [
    { kind: 'recipient', value: recipientHash },
    { kind: 'tenant', value: tenantId },
    { kind: 'account', value: accountId },
    { kind: 'template', value: template },
    ...(batch === undefined ? [] : [{ kind: 'batch' as const, value: batch }]),
  ];
  return scopes.map((scope) => scopeKey(tenantId, scope));
}

/** What the stops say of a message; a recall beats a pause. */
export function verdictOf(stops: Iterable<Stop>, message: StopTarget): Verdict {
  const keys = new Set(scopeKeysOf(message));
  const inForce = [...stops].filter(
    ({ tenantId, scope, acceptedBefore, endedAt }) =>
      endedAt === undefined &&
      keys.has(scopeKey(tenantId, scope)) &&
      // ISO times of one form compare as texts. The same millisecond counts as before: the recall came after its answer.
      (acceptedBefore === undefined || message.acceptedAt <= acceptedBefore),
  );
  const stop = inForce.find(({ action }) => action === 'recall') ?? inForce[0];
  if (stop === undefined) return { verdict: 'go', detail: '' };
  const verdict = stop.action === 'recall' ? 'recalled' : 'paused';
  const { kind, value } = stop.scope;
  const what = kind === 'recipient' ? kind : `${kind} ${value}`;
  return { verdict, detail: `${what} was ${verdict}: ${stop.reason}` };
}
