/** `/v1/users/{userId}`: where a person is reached when a message names them by `userId`, and what they want. */
import { PersonSchema, type Person } from '../contracts/people.ts';
import { problem, type FieldFault } from '../contracts/problems.ts';
import { route, type Route } from '../platform/http.ts';
import { localeFault, withCanonicalLocale } from '../contracts/locale.ts';
import { timeZoneFault } from '../platform/time-zone.ts';
import type { People } from '../store/index.ts';
import { checkedUser, userParam } from './user-id.ts';

export interface PeopleRoutesDeps {
  readonly people: People;
  /** Of this installation. */
  readonly channels: ReadonlySet<string>;
}

const tag = 'people';
// What is known of a person is kept by nobody on the way.
const headers = { 'cache-control': 'no-store' };

/** The routes. Errors: problems that name the field; store-unavailable. */
export function peopleRoutes<Caller extends { readonly tenantId: string }>({
  people,
  channels,
}: PeopleRoutesDeps): Route<Caller>[] {
  const path = '/v1/users/:userId';
  const keyOf = ({ tenantId }: Caller, params: Readonly<Record<string, string>>) => ({
    tenantId,
    userId: checkedUser(params['userId']),
  });
  const unknown = () => problem('not-found', { detail: 'Nothing is known of this person.' });
  return [
    route<Caller, typeof PersonSchema>({
      method: 'put',
      path,
      operationId: 'putPerson',
      summary: 'Register a person: addresses, time zone, language, preferences',
      description:
        'In place of what was known before. A message to their userId is sent to the address that its channel takes.',
      tag,
      body: PersonSchema,
      params: userParam,
      responses: { 200: { description: 'Registered.', schema: PersonSchema } },
      problems: ['store-unavailable'],
      handle: async ({ body, params, caller }) => {
        const key = keyOf(caller, params);
        refuse(personFaults(body, channels));
        const person = withCanonicalLocale(body);
        await people.put(key, person);
        return { status: 200, body: person, headers };
      },
    }),
    route<Caller>({
      method: 'get',
      path,
      operationId: 'getPerson',
      summary: 'What is known of a person',
      tag,
      params: userParam,
      responses: { 200: { description: 'As it was registered.', schema: PersonSchema } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params, caller }) => {
        const person = await people.get(keyOf(caller, params));
        if (person === undefined) throw unknown();
        return { status: 200, body: person, headers };
      },
    }),
    route<Caller>({
      method: 'delete',
      path,
      operationId: 'removePerson',
      summary: 'Forget a person',
      description: 'Addresses, time zone, language and preferences. Devices and suppressions stay.',
      tag,
      params: userParam,
      responses: { 204: { description: 'Forgotten.' } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params, caller }) => {
        if (!(await people.remove(keyOf(caller, params)))) throw unknown();
        return { status: 204 };
      },
    }),
  ];
}

function personFaults(person: Person, channels: ReadonlySet<string>): readonly FieldFault[] {
  const { timeZone, locale, preferences } = person;
  const unknownLocale = locale === undefined ? undefined : localeFault(locale);
  const zoneFault = timeZone === undefined ? undefined : timeZoneFault(timeZone);
  return [
    ...(zoneFault === undefined ? [] : [{ pointer: '/timeZone', detail: zoneFault }]),
    ...(unknownLocale === undefined ? [] : [{ pointer: '/locale', detail: unknownLocale }]),
    ...Object.keys(preferences?.channels ?? {}).flatMap((channel) =>
      channelFaults(channel, { channels, pointer: `/preferences/channels/${channel}` }),
    ),
  ];
}

/** Faults of a channel's name: none, or that there is no such channel. */
export function channelFaults(
  channel: string,
  { channels, pointer }: { readonly channels: ReadonlySet<string>; readonly pointer: string },
): readonly FieldFault[] {
  if (channels.has(channel)) return [];
  return [{ pointer, detail: `is no channel; there are ${[...channels].toSorted().join(', ')}` }];
}

/** Errors: validation-failed, when there are faults. */
export function refuse(faults: readonly FieldFault[]): void {
  const [first] = faults;
  if (first === undefined) return;
  throw problem('validation-failed', {
    detail: `${first.pointer} ${first.detail}`,
    errors: faults,
  });
}
