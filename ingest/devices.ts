/** `/v1/users/{userId}/devices`: where push finds a person. Apps register at each start; dead tokens go by themselves. */
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import { addressKinds, NameSchema } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import type { Account } from '../contracts/template.ts';
import { route, type Route } from '../platform/http.ts';
import type { Device, Devices } from '../store/index.ts';
import { checkedUser, userParam } from './user-id.ts';

export interface DeviceRoutesDeps {
  readonly devices: Pick<Devices, 'register' | 'list' | 'remove'>;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly accountsOf: (tenantId: string) => Promise<readonly Account[]>;
}

const RegisterSchema = Type.Object(
  {
    connector: Type.String({
      maxLength: 64,
      description: 'Which push service made the token: push-fcm, push-apns.',
      examples: ['push-fcm'],
    }),
    account: Type.Optional(
      Type.String({
        ...NameSchema,
        description: 'Name of the channel account, where there are several of this connector.',
      }),
    ),
    deviceToken: addressKinds.deviceToken.schema,
  },
  { additionalProperties: false },
);
const DeviceSchema = Type.Object({
  id: Type.String({ description: 'Removes the device by it: dev_…' }),
  accountId: Type.String(),
  deviceToken: Type.String({ description: 'Masked.' }),
  registeredAt: Type.String({ format: 'date-time' }),
});
const DeviceListSchema = Type.Object({ items: Type.Array(DeviceSchema) });

const tag = 'devices';

/** The routes. Errors: problems that name the field; store-unavailable. */
export function deviceRoutes<Caller extends { readonly tenantId: string }>(
  deps: DeviceRoutesDeps,
): Route<Caller>[] {
  const { devices } = deps;
  return [
    route<Caller, typeof RegisterSchema>({
      method: 'post',
      path: '/v1/users/:userId/devices',
      operationId: 'registerDevice',
      summary: 'Register a device for push',
      description:
        'Register at every start of the app: it is cheap, and a token that was called dead meanwhile lives again. A device belongs to who registered it last. Of more than 20 devices at an account the oldest are forgotten.',
      tag,
      body: RegisterSchema,
      params: userParam,
      responses: { 200: { description: 'Registered.', schema: DeviceSchema } },
      problems: ['channel-unavailable', 'store-unavailable'],
      handle: async ({ body, params, caller }) => {
        const owner = { tenantId: caller.tenantId, userId: checkedUser(params['userId']) };
        const { id: accountId } = await findAccount(deps, caller.tenantId, body);
        const { deviceToken } = body;
        return {
          status: 200,
          body: publicDevice(await devices.register(owner, { accountId, deviceToken })),
        };
      },
    }),
    route<Caller>({
      method: 'get',
      path: '/v1/users/:userId/devices',
      operationId: 'listDevices',
      summary: "A person's devices",
      tag,
      params: userParam,
      responses: { 200: { description: 'The newest first.', schema: DeviceListSchema } },
      problems: ['store-unavailable'],
      handle: async ({ params, caller }) => {
        const owner = { tenantId: caller.tenantId, userId: checkedUser(params['userId']) };
        return { status: 200, body: { items: (await devices.list(owner)).map(publicDevice) } };
      },
    }),
    route<Caller>({
      method: 'delete',
      path: '/v1/users/:userId/devices/:deviceId',
      operationId: 'removeDevice',
      summary: 'Remove a device, as at logout',
      tag,
      params: { ...userParam, deviceId: 'Id of the device: dev_…' },
      responses: { 204: { description: 'Removed.' } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params, caller }) => {
        const owner = { tenantId: caller.tenantId, userId: checkedUser(params['userId']) };
        const id = params['deviceId'] ?? '';
        if (!(await devices.remove(owner, id)))
          throw problem('not-found', { detail: `This person has no device "${id}".` });
        return { status: 204 };
      },
    }),
  ];
}

async function findAccount(
  deps: DeviceRoutesDeps,
  tenantId: string,
  { connector, account }: { connector: string; account?: string },
): Promise<Account> {
  const refuse = (pointer: string, detail: string) =>
    problem('channel-unavailable', { detail, errors: [{ pointer, detail }] });
  if (deps.connectors.get(connector)?.hasDevices !== true)
    throw refuse('/connector', `"${connector}" is no push service of this installation`);
  const offered = (await deps.accountsOf(tenantId)).filter((each) => each.connector === connector);
  const [first, second] = offered;
  if (first === undefined)
    throw refuse(
      '/connector',
      `no channel account for ${connector} exists; an administrator adds one`,
    );
  if (account === undefined) {
    if (second === undefined) return first;
    const names = offered.map(({ name }) => name).join(', ');
    throw refuse('/account', `say which of the accounts made the token: ${names}`);
  }
  const chosen = offered.find(({ name }) => name === account);
  if (chosen === undefined)
    throw refuse('/account', `there is no account "${account}" for ${connector}`);
  return chosen;
}

function publicDevice({ id, accountId, deviceToken, registeredAt }: Device) {
  const masked = `${deviceToken.slice(0, 4)}****${deviceToken.slice(-4)}`;
  return { id, accountId, deviceToken: deviceToken.length < 16 ? '****' : masked, registeredAt };
}
