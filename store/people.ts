/** People as their service registers them: addresses, time zone, preferences. Sealed; a person is found by hash. */
import { PersonSchema, type Person } from '../contracts/people.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson, type Database } from './database.ts';
import type { SealedColumn } from './sealed-columns.ts';

export interface PersonKey {
  readonly tenantId: string;
  readonly userId: string;
}

export interface People {
  /** Registers a person, in place of what was known of them. */
  put(key: PersonKey, person: Person): Promise<void>;
  get(key: PersonKey): Promise<Person | undefined>;
  /** False: nothing was known. */
  remove(key: PersonKey): Promise<boolean>;
}

interface PersonRow {
  tenantId: string;
  userHash: string;
  sealed: string;
  updatedAt: Date;
}

const validator = createValidator(PersonSchema);

type PersonRowKey = Pick<PersonRow, 'tenantId' | 'userHash'>;
const context = ({ tenantId, userHash }: PersonRowKey) => `person:${tenantId}:${userHash}`;

export const sealedPeople: SealedColumn<PersonRowKey> = {
  what: 'people',
  table: 'people',
  column: 'sealed',
  keys: ['tenantId', 'userHash'],
  form: 'direct',
  context,
};

/** The hash by which a user's rows are found, the same as of a message to them. */
export function hashUser(sealer: Sealer, { tenantId, userId }: PersonKey): string {
  return sealer.hash(`userId:${userId}`, `recipient:${tenantId}`);
}

export function createPeople(db: Database, sealer: Sealer): People {
  const rows = () => db<PersonRow>('people');
  const keyOf = (key: PersonKey) => ({
    tenantId: key.tenantId,
    userHash: hashUser(sealer, key),
  });
  return {
    put: async (key, person) => {
      const found = keyOf(key);
      const sealed = sealer.seal(JSON.stringify(person), context(found));
      await rows()
        .insert({ ...found, sealed, updatedAt: new Date() })
        .onConflict(['tenantId', 'userHash'])
        .merge();
    },
    get: async (key) => {
      const found = keyOf(key);
      const row = await rows().where(found).first('sealed');
      if (row === undefined) return undefined;
      const text = sealer.open(row.sealed, context(found)).toString('utf8');
      return readJson(text, validator, 'a person');
    },
    remove: async (key) => (await rows().where(keyOf(key)).delete()) > 0,
  };
}
