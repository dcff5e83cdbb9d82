/** Which ways (connector and account) a message may be tried on, in order. Pure. */
import { createHash } from 'node:crypto';
import type { Connector } from '../contracts/channel.ts';
import {
  addressOf,
  mostRoutes,
  type PostMessage,
  type Route,
  type To,
} from '../contracts/message.ts';
import { mayReachByBook } from '../contracts/people.ts';
import { problem } from '../contracts/problems.ts';
import type { Account, Template } from '../contracts/template.ts';

export interface ChooseRoutes {
  readonly connectors: ReadonlyMap<string, Connector>;
  /** The tenant's accounts, oldest first. */
  readonly accounts: readonly Account[];
  readonly template: Template;
  readonly post: Pick<PostMessage, 'to' | 'channel' | 'channels' | 'fallbackAfter'>;
  readonly messageId: string;
}

export interface ChosenRoute extends Route {
  readonly account: Account;
}

/**
 * The accounts of the first of the template's connectors that takes such an address; with `channels`, those of each channel
 * in turn. Within a connector accounts share messages by weight, and those that are held come last.
 * Errors: problems that name the field.
 */
export function chooseRoutes(of: ChooseRoutes): readonly [ChosenRoute, ...ChosenRoute[]] {
  const { channel, channels } = of.post;
  const groups =
    channels === undefined
      ? [[bestOf(of, connectorsFor(of, channel, '/channel'), '/channel')]]
      : channels.map((wanted, index) => {
          const pointer = `/channels/${index}`;
          const found = connectorsFor(of, wanted, pointer);
          const served = found.filter(({ name }) => accountsOf(of, name).length > 0);
          if (served.length === 0) throw withoutAccount(found, pointer);
          // One device belongs to one push service; of a person each may know another device.
          return addressOf(of.post.to).kind === 'deviceToken' ? served.slice(0, 1) : served;
        });
  checkFallback(of, groups);
  const routes = groups.flat().flatMap((connector) => routesThrough(of, connector));
  const unique = routes.filter(
    ({ accountId }, index) => routes.findIndex((other) => other.accountId === accountId) === index,
  );
  const [first, ...others] = unique.slice(0, mostRoutes);
  if (first === undefined) throw new Error('a connector with accounts has no way');
  return [first, ...others];
}

/** The template's connectors of this channel that take the address; those that know the person themselves first. */
function connectorsFor(
  { connectors, template, post: { to } }: ChooseRoutes,
  channel: string | undefined,
  pointer: string,
): readonly Connector[] {
  const offered = Object.keys(template.contents)
    .map((name) => connectors.get(name))
    .filter((connector) => connector !== undefined);
  const wanted = offered.filter(
    ({ name, channel: its }) => channel === undefined || its === channel || name === channel,
  );
  if (wanted.length === 0) {
    const has = [...new Set(offered.map((connector) => connector.channel))].join(', ');
    const detail = `template "${template.name}" has content for ${has}`;
    throw problem('channel-unavailable', { detail, errors: [{ pointer, detail }] });
  }
  const reaching = [
    ...wanted.filter((connector) => takes(connector, to)),
    ...wanted.filter(({ addressKinds }) => mayReachByBook(addressKinds, to)),
  ];
  if (reaching.length === 0) {
    const { kind } = addressOf(to);
    const kinds = [...new Set(wanted.flatMap(({ addressKinds }) => addressKinds))].join(' or ');
    const detail = `an address of kind ${kind} does not fit; template "${template.name}" reaches people by ${kinds}`;
    const field = pointer === '/channel' ? '/to' : pointer;
    throw problem('recipient-unsuitable', { detail, errors: [{ pointer: field, detail }] });
  }
  return reaching;
}

/** Whether the connector takes this address as it is. */
export function takes({ addressKinds }: Connector, to: To): boolean {
  return addressKinds.includes(addressOf(to).kind);
}

/** The first with an account that is not held, else the first with an account. */
function bestOf(of: ChooseRoutes, found: readonly Connector[], pointer: string): Connector {
  const served = found.filter(({ name }) => accountsOf(of, name).length > 0);
  const best =
    served.find(({ name }) => accountsOf(of, name).some((account) => !isHeld(account))) ??
    served[0];
  if (best === undefined) throw withoutAccount(found, pointer);
  return best;
}

function withoutAccount(found: readonly Connector[], pointer: string): Error {
  const detail = `no channel account for ${found.map(({ name }) => name).join(' or ')} exists; an administrator adds one`;
  return problem('channel-unavailable', { detail, errors: [{ pointer, detail }] });
}

/** Waiting for a receipt that never comes would send every message twice. */
function checkFallback({ post }: ChooseRoutes, groups: readonly (readonly Connector[])[]): void {
  if (post.fallbackAfter === undefined) return;
  const mute = groups
    .slice(0, -1)
    .flat()
    .find(({ capabilities }) => capabilities.receipts === 'none');
  if (mute === undefined) return;
  const detail = `${mute.name} tells of no delivery, so the next channel would always be used as well`;
  throw problem('validation-failed', {
    detail,
    errors: [{ pointer: '/fallbackAfter', detail }],
  });
}

const accountsOf = ({ accounts }: ChooseRoutes, connector: string) =>
  accounts.filter((account) => account.connector === connector);

/** Stopped by an operator, or at fault. */
const isHeld = (account: Account) => account.isStopped || account.limitInForce === 0;

/** The connector's accounts in the order in which this message tries them. */
function routesThrough(of: ChooseRoutes, { name, channel }: Connector): readonly ChosenRoute[] {
  return accountsOf(of, name)
    .map((account) => ({ account, draw: draw(of.messageId, account) }))
    .toSorted((a, b) => Number(isHeld(a.account)) - Number(isHeld(b.account)) || b.draw - a.draw)
    .map(({ account }) => ({ account, accountId: account.id, connector: name, channel }));
}

/**
 * A number in [0, 1), the same for the same message and account: sorted by it, accounts come first in proportion to their
 * weights (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). Weight 0 comes last.
 */
function draw(messageId: string, { id, weight }: Account): number {
  if (weight === 0) return -1;
  const hash = createHash('sha256').update(`${messageId} ${id}`).digest();
  return ((hash.readUInt32BE(0) + 1) / (2 ** 32 + 1)) ** (1 / weight);
}
