/** What one call to a provider came to. The only vocabulary in which channels and the engine speak of it. */

interface Said {
  /** The provider's own code and text, for people; nothing is decided on them outside a channel's classify.ts. */
  readonly providerCode?: string;
  readonly providerMessage?: string;
}

/** Who a rate limit holds up. */
export type RateLimitScope = 'account' | 'channel-app' | 'recipient' | 'template';

export type SendOutcome =
  /** The provider took it. */
  | (Said & { readonly class: 'accepted'; readonly providerId: string })
  /** The provider says it already has it; counts as accepted. */
  | (Said & { readonly class: 'duplicate'; readonly providerId?: string })
  /** Surely not accepted; worth another try. `isUntried`: a batch call had no time for it, so that this was no try. */
  | (Said & {
      readonly class: 'transient';
      readonly retryAfterMs?: number;
      readonly isUntried?: true;
    })
  /** Perhaps accepted: the answer was lost after the request had left. */
  | (Said & { readonly class: 'ambiguous' })
  /** Not accepted for now; only what `scope` names must wait. */
  | (Said & {
      readonly class: 'rate-limited';
      readonly scope: RateLimitScope;
      readonly retryAfterMs: number;
    })
  /** The token is stale; the channel renews it once and calls again before it reports this. */
  | (Said & { readonly class: 'auth-expired' })
  /** Secret, permission or address list is wrong: the account is at fault, not the message. */
  | (Said & { readonly class: 'auth-invalid' })
  /** Balance or daily quota is gone: the account is at fault. `resumeAt`: ISO time when known. */
  | (Said & { readonly class: 'quota-exhausted'; readonly resumeAt?: string })
  /** The address is dead. */
  | (Said & { readonly class: 'recipient-invalid' })
  /** The person does not want it, or not through this channel; the address is fine. */
  | (Said & { readonly class: 'recipient-refused' })
  /** What we said is refused. */
  | (Said & { readonly class: 'content-rejected' })
  /** The template or signature is unknown, banned or does not fit. */
  | (Said & { readonly class: 'template-invalid' });

export type OutcomeClass = SendOutcome['class'];

/** Every class, for documents, index mapping and tests; the type below breaks when one is missing. */
export const outcomeClasses = [
  'accepted',
  'duplicate',
  'transient',
  'ambiguous',
  'rate-limited',
  'auth-expired',
  'auth-invalid',
  'quota-exhausted',
  'recipient-invalid',
  'recipient-refused',
  'content-rejected',
  'template-invalid',
] as const satisfies readonly OutcomeClass[];

/** Answer to "did the provider take the call whose answer we lost?" */
export type ReconcileOutcome =
  /** `providerId` where the books tell it; else later receipts are matched by the delivery key. */
  | { readonly found: 'yes'; readonly providerId?: string }
  /** The provider's books are complete and do not hold it. */
  | { readonly found: 'no' }
  /** The provider cannot say now; ask again or let the policy decide. */
  | { readonly found: 'cannot-tell'; readonly detail: string };
