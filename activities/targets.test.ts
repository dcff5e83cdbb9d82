import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Connector } from '../contracts/channel.ts';
import {
  addressOf,
  type AcceptedMessage,
  type AddressKind,
  type To,
} from '../contracts/message.ts';
import { endWithoutTarget, findTargets, type TargetsDeps } from './targets.ts';

const message = { tenantId: 't', accountId: 'acc', recipientHash: 't/given' } as AcceptedMessage;
const deps: TargetsDeps = {
  devicesOf: async () => ['device-1', 'device-2'],
  forgetDevice: async () => {},
  personOf: async ({ tenantId, userId }) => {
    assert.deepEqual([tenantId, userId], ['t', 'li']);
    return { addresses: { phone: '13900001111', wecomUserId: 'lilei' } };
  },
  hash: (tenantId, to) => `${tenantId}/${addressOf(to).value}`,
};
const find = (to: To, addressKinds: AddressKind[], hasDevices?: true) =>
  findTargets(deps, {
    message,
    connector: { addressKinds, ...(hasDevices && { hasDevices }) } as unknown as Connector,
    to,
    keyOf: (address) => `key of ${addressOf(address).value}`,
  });

describe('the targets of a message', () => {
  it('are the address as it is given, where the channel takes it', async () => {
    const phone = { phone: '13700002222' };
    const given = { to: phone, key: 'key of 13700002222', recipientHash: 't/given' };
    assert.deepEqual(await find(phone, ['phone']), [given]);
    const inbox = { to: { userId: 'li' }, key: 'key of li', recipientHash: 't/given' };
    assert.deepEqual(await find({ userId: 'li' }, ['userId']), [inbox]);
  });
  it('are every device of a user, each under a key of its own', async () => {
    const devices = await find({ userId: 'li' }, ['userId', 'deviceToken'], true);
    assert.deepEqual(
      devices.map(({ key, recipientHash }) => [key, recipientHash]),
      [
        ['key of device-1', 't/given'],
        ['key of device-2', 't/given'],
      ],
    );
  });
  it('are the first address in the book that the channel takes, counted as that address', async () => {
    const found = await find({ userId: 'li' }, ['email', 'wecomUserId', 'phone']);
    const member = { to: { wecomUserId: 'lilei' }, key: 'key of li', recipientHash: 't/lilei' };
    assert.deepEqual(found, [member]);
  });
  it('are none where the book has no such address, and the end says so', async () => {
    assert.deepEqual(await find({ userId: 'li' }, ['email']), []);
    assert.deepEqual(await find({ userId: 'li' }, ['group', 'endpoint']), []);
    const codes = [{}, { hasDevices: true }].map(
      (connector) => endWithoutTarget(connector as Connector).reason.code,
    );
    assert.deepEqual(codes, ['no-address', 'no-device']);
  });
});
