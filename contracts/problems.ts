/** Every problem an API can answer with (RFC 9457). `docs/problems.md` is generated from this table. */
export const problems = {
  'malformed-request': { status: 400, title: 'The request cannot be read' },
  'validation-failed': { status: 422, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'A valid key is needed' },
  forbidden: { status: 403, title: 'This key may not do that' },
  'not-found': { status: 404, title: 'There is no such thing here' },
  'method-not-allowed': { status: 405, title: 'This address does not take that method' },
  'message-not-found': { status: 404, title: 'There is no message with this id' },
  'template-not-found': { status: 422, title: 'There is no template with this name' },
  'variables-invalid': { status: 422, title: 'The variables do not fit the template' },
  'channel-unavailable': { status: 422, title: 'The template or tenant has no such channel' },
  'recipient-unsuitable': { status: 422, title: 'The channel cannot reach this recipient' },
  'recall-too-late': { status: 409, title: 'It can no longer be taken back' },
  'recall-final': { status: 409, title: 'A recall cannot be resumed' },
  'ordering-key-not-stopped': { status: 404, title: 'No such ordering key is stopped' },
  'redrive-not-possible': { status: 409, title: 'It cannot be sent again now' },
  'batch-not-possible': { status: 409, title: 'The batch cannot do that now' },
  'name-taken': { status: 409, title: 'The name is in use' },
  'version-conflict': { status: 412, title: 'It has been changed since you read it' },
  'precondition-required': { status: 428, title: 'Say which version you edit (If-Match)' },
  'approver-is-author': { status: 403, title: 'Another person must approve it' },
  'review-required': { status: 403, title: 'This tenant publishes only what was approved' },
  'template-version-state': { status: 409, title: 'The version is not in a state for that' },
  'template-version-outdated': { status: 409, title: 'Another version has come into force' },
  'too-many-endpoints': { status: 409, title: 'The tenant has as many endpoints as it may' },
  'endpoint-disabled': { status: 409, title: 'The endpoint is disabled' },
  'in-use': { status: 409, title: 'It is still in use' },
  'body-too-large': { status: 413, title: 'The request body is too large' },
  'unsupported-media-type': { status: 415, title: 'The body is of a type that is not taken here' },
  'idempotency-key-invalid': { status: 400, title: 'The Idempotency-Key is not usable' },
  'idempotency-conflict': {
    status: 409,
    title: 'Something else was asked for under this Idempotency-Key',
  },
  'too-many-scheduled': { status: 429, title: 'Too many messages wait for their time' },
  'quota-exceeded': { status: 429, title: 'The quota of the tenant is used up' },
  'too-many-keys': { status: 409, title: 'Two keys of this name are live already' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  'too-busy': {
    status: 503,
    title: 'Too many large requests are in hand; repeat with the same key',
  },
  'internal-error': { status: 500, title: 'Something broke on our side' },
  'broker-unavailable': {
    status: 503,
    title: 'The message queue does not answer; repeat with the same key',
  },
  'store-unavailable': { status: 503, title: 'The database does not answer' },
  'identity-provider-unavailable': { status: 503, title: 'The identity provider does not answer' },
  'query-too-slow': { status: 422, title: 'The query took too long' },
  'search-unavailable': { status: 503, title: 'The search index does not answer' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof problems;

/** One faulty place in the input. `pointer`: JSON Pointer into the body, or `query/<name>`, `header/<name>`, `path/<name>`, `line/<number>`. */
export interface FieldFault {
  readonly pointer: string;
  readonly detail: string;
}

export interface ProblemOptions {
  readonly detail?: string;
  readonly errors?: readonly FieldFault[];
  readonly retryAfterSeconds?: number;
  /** For broker-unavailable: whether the message may have been stored. */
  readonly stored?: 'no' | 'unknown';
  /** For quota-exceeded: names of the policies, as RateLimit-Policy has them. */
  readonly violatedPolicies?: readonly string[];
  /** Headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A problem on its way to the caller. Thrown by handlers, rendered in one place (platform/http). */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly options: ProblemOptions;
  constructor(code: ProblemCode, options: ProblemOptions = {}) {
    super(options.detail ?? problems[code].title, { cause: options.cause });
    this.name = 'Problem';
    this.code = code;
    this.options = options;
  }
}

/** Makes a problem to throw: `throw problem('template-not-found', { detail, errors })`. */
export function problem(code: ProblemCode, options: ProblemOptions = {}): Problem {
  return new Problem(code, options);
}
