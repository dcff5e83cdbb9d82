/** Devices for push: who registered which at which channel account. Tokens are sealed; users and tokens are found by hash. */
import type { Sealer } from '../platform/seal.ts';
import type { Database } from './database.ts';
import type { SealedColumn } from './sealed-columns.ts';
import { hashUser, type PersonKey } from './people.ts';

export interface Device {
  readonly id: string;
  readonly accountId: string;
  readonly deviceToken: string;
  /** ISO time of the last registration. */
  readonly registeredAt: string;
}

export type DeviceOwner = PersonKey;

export interface Devices {
  /** Registers a device, or again; one that somebody else had registered changes hands. Of more than 20 the oldest go. */
  register(owner: DeviceOwner, device: Pick<Device, 'accountId' | 'deviceToken'>): Promise<Device>;
  /** A user's devices, the newest first; at one account or at all. */
  list(owner: DeviceOwner, accountId?: string): Promise<readonly Device[]>;
  /** False: this user has no such device. */
  remove(owner: DeviceOwner, deviceId: string): Promise<boolean>;
  /** Forgets a device whose token the provider called dead, unless it was registered again after `asOf`. */
  invalidate(accountId: string, deviceToken: string, asOf: Date): Promise<void>;
}

interface DeviceRow {
  accountId: string;
  tokenHash: string;
  id: string;
  tenantId: string;
  userHash: string;
  sealed: string;
  registeredAt: Date;
}

const context = ({ id }: { id: string }) => `device:${id}`;

export const sealedDevices: SealedColumn<{ id: string }> = {
  what: 'devices',
  table: 'devices',
  column: 'sealed',
  keys: ['accountId', 'tokenHash'],
  besides: ['id'],
  form: 'direct',
  context,
};

/** More would only be forgotten ones: every push to the user is a call for each. */
const maxDevices = 20;

export function createDevices(db: Database, sealer: Sealer): Devices {
  const rows = () => db<DeviceRow>('devices');
  const tokenHash = (accountId: string, token: string) => sealer.hash(token, `device:${accountId}`);
  const toDevice = (row: DeviceRow): Device => ({
    id: row.id,
    accountId: row.accountId,
    deviceToken: sealer.open(row.sealed, context(row)).toString('utf8'),
    registeredAt: row.registeredAt.toISOString(),
  });
  const owned = (owner: DeviceOwner) => ({
    tenantId: owner.tenantId,
    userHash: hashUser(sealer, owner),
  });

  return {
    register: async (owner, { accountId, deviceToken }) => {
      const hash = tokenHash(accountId, deviceToken);
      const id = `dev_${hash.slice(0, 32)}`;
      const row: DeviceRow = {
        accountId,
        tokenHash: hash,
        id,
        ...owned(owner),
        sealed: sealer.seal(deviceToken, context({ id })),
        registeredAt: new Date(),
      };
      await rows().insert(row).onConflict(['accountId', 'tokenHash']).merge();
      const beyond = await rows()
        .where({ ...owned(owner), accountId })
        .orderBy('registeredAt', 'desc')
        .orderBy('id')
        .offset(maxDevices)
        .limit(100)
        .select('id');
      if (beyond.length > 0)
        await rows()
          .where({ ...owned(owner), accountId })
          .whereIn(
            'id',
            beyond.map((each) => each.id),
          )
          .delete();
      return toDevice(row);
    },
    list: async (owner, accountId) => {
      const found = await rows()
        .where({ ...owned(owner), ...(accountId !== undefined && { accountId }) })
        .orderBy('registeredAt', 'desc')
        .orderBy('id')
        .limit(200);
      return found.map(toDevice);
    },
    remove: async (owner, id) =>
      (await rows()
        .where({ ...owned(owner), id })
        .delete()) > 0,
    invalidate: async (accountId, deviceToken, asOf) =>
      void (await rows()
        .where({ accountId, tokenHash: tokenHash(accountId, deviceToken) })
        .where('registeredAt', '<=', asOf)
        .delete()),
  };
}
