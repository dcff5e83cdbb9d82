/**
 * A request as an accepted message: checked against its template, with its ways and its seal. Shared by ingest (one message)
 * and jobs (the members of a batch).
 */
import type { Connector } from '../contracts/channel.ts';
import {
  acceptedMessageVersion,
  kindDefaults,
  longestScheduleMs,
  type AcceptedMessage,
  type PostMessage,
  type Route,
  type SealedRequest,
  type Variables,
} from '../contracts/message.ts';
import { problem, type FieldFault } from '../contracts/problems.ts';
import type { Account, Template } from '../contracts/template.ts';
import type { DayKey } from './day-key.ts';
import { chooseRoutes, takes, type ChosenRoute } from './choose-routes.ts';
import { canonicalLocale, localeFault } from '../contracts/locale.ts';
import { hashRecipient } from './recipient-hash.ts';
import { maskRecipient } from './recipient-mask.ts';
import type { Sealer } from './seal.ts';
import { timeZoneFault } from './time-zone.ts';

export interface CheckDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly checkVariables: (template: Template, variables: Variables) => readonly FieldFault[];
}

export interface Request {
  readonly id: string;
  readonly tenantId: string;
  readonly post: PostMessage;
  readonly template: Template;
  /** The tenant's accounts, oldest first. */
  readonly accounts: readonly Account[];
  /** Whoever names the same goes the same way; default: its own id, so that messages spread over accounts. */
  readonly goesWith?: string;
}

/** A request that was checked, and the ways it may go. */
export type Checked = Request & { readonly routes: readonly [ChosenRoute, ...ChosenRoute[]] };

export interface Composed {
  readonly message: AcceptedMessage;
  /** Of its lane. */
  readonly slot: number;
}

/** Checks a request against its template, and chooses its ways. Pure. Errors: problems that name the field. */
export function checkRequest(deps: CheckDeps, request: Request): Checked {
  const { id, post, template, accounts, goesWith = id } = request;
  const faults = deps.checkVariables(template, post.variables ?? {});
  if (faults.length > 0)
    throw problem('variables-invalid', {
      detail: `${faults[0]?.pointer} ${faults[0]?.detail}`,
      errors: faults,
    });
  checkPriority(template, post.priority);
  const { connectors } = deps;
  const routes = chooseRoutes({ connectors, accounts, template, post, messageId: goesWith });
  const [first] = routes;
  const connector = connectors.get(first.connector);
  const addressFault =
    connector !== undefined && takes(connector, post.to)
      ? connector.addressFault(post.to, first.account.settings)
      : undefined;
  if (addressFault !== undefined)
    throw problem('recipient-unsuitable', {
      detail: addressFault,
      errors: [{ pointer: '/to', detail: addressFault }],
    });
  return { ...request, routes };
}

/** Errors: validation-failed, for what waits for nobody and must wait. */
export function checkPriority(template: Template, priority: PostMessage['priority']): void {
  if (template.kind !== 'marketing' || priority !== 'critical') return;
  const detail =
    'cannot be critical: the template is marketing, which waits for quiet hours and caps';
  throw problem('validation-failed', {
    detail: `/priority ${detail}`,
    errors: [{ pointer: '/priority', detail }],
  });
}

/** The accepted message of a checked request, sealed with `at.key`. Its life counts from `lifeFromMs`: default from acceptance, or from sendAt. */
export function composeMessage(
  sealer: Pick<Sealer, 'hash'>,
  { id, tenantId, post, template, routes }: Checked,
  at: {
    readonly acceptedAt: Date;
    readonly key: Pick<DayKey, 'seal'>;
    readonly lifeFromMs?: number;
    readonly traceparent?: string;
  },
): Composed {
  const { acceptedAt, traceparent } = at;
  const [first, ...others] = routes;
  const locale = post.locale === undefined ? undefined : canonicalLocale(post.locale);
  const defaults = kindDefaults[template.kind];
  const lifeFromMs =
    at.lifeFromMs ?? (post.sendAt === undefined ? acceptedAt.getTime() : Date.parse(post.sendAt));
  const sealed: SealedRequest = { to: post.to, variables: post.variables ?? {} };
  return {
    slot: first.account.slot,
    message: {
      version: acceptedMessageVersion,
      id,
      tenantId,
      acceptedAt: acceptedAt.toISOString(),
      expiresAt: new Date(
        lifeFromMs + (post.expiresIn ?? defaults.lifeSeconds) * 1000,
      ).toISOString(),
      requestHash: sealer.hash(canonical(post), `request:${tenantId}`),
      template: template.name,
      kind: template.kind,
      connector: first.connector,
      channel: first.channel,
      accountId: first.accountId,
      priority: post.priority ?? defaults.priority,
      recipientHash: hashRecipient(sealer, tenantId, post.to),
      recipientMasked: maskRecipient(post.to),
      metadata: post.metadata ?? {},
      sealed: at.key.seal(JSON.stringify(sealed), id),
      ...(others.length > 0 && { routes: routes.map(toRoute) }),
      ...(post.fallbackAfter !== undefined && { fallbackAfter: post.fallbackAfter }),
      ...(post.sendAt !== undefined && { sendAt: new Date(post.sendAt).toISOString() }),
      ...(post.timeZone !== undefined && { timeZone: post.timeZone }),
      ...(locale !== undefined && { locale }),
      ...(post.orderingKey !== undefined && { orderingKey: post.orderingKey }),
      ...(post.onOrderFailure !== undefined && { onOrderFailure: post.onOrderFailure }),
      ...(post.batch !== undefined && { batch: post.batch }),
      ...(traceparent !== undefined && { traceparent }),
    },
  };
}

function toRoute({ connector, channel, accountId }: ChosenRoute): Route {
  return { connector, channel, accountId };
}

/** Refuses what cannot be meant together, or lies outside what we do; before anything is looked up. */
export function checkOptions(post: Omit<PostMessage, 'to'>, nowMs: number): void {
  const refuse = (pointer: string, detail: string): never => {
    throw problem('validation-failed', {
      detail: `${pointer} ${detail}`,
      errors: [{ pointer, detail }],
    });
  };
  if (post.channel !== undefined && post.channels !== undefined)
    refuse('/channels', 'cannot be given together with channel');
  if (post.fallbackAfter !== undefined && (post.channels?.length ?? 0) < 2)
    refuse('/fallbackAfter', 'needs channels with at least two entries');
  if (post.onOrderFailure !== undefined && post.orderingKey === undefined)
    refuse('/onOrderFailure', 'needs orderingKey');
  const zoneFault = post.timeZone === undefined ? undefined : timeZoneFault(post.timeZone);
  if (zoneFault !== undefined) refuse('/timeZone', zoneFault);
  const unknownLocale = post.locale === undefined ? undefined : localeFault(post.locale);
  if (unknownLocale !== undefined) refuse('/locale', unknownLocale);
  if (post.sendAt === undefined) return;
  const aheadMs = Date.parse(post.sendAt) - nowMs;
  if (aheadMs < 0) refuse('/sendAt', 'is in the past');
  if (aheadMs > longestScheduleMs) refuse('/sendAt', 'is more than 90 days ahead');
}

/** JSON with sorted keys: the same request always gives the same text. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
