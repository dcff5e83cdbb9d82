/** Tenants: whose messages these are. */
import { Model } from 'objection';
import { problem } from '../contracts/problems.ts';
import { inTransaction, isDuplicate, type Database } from './database.ts';
import { nextRevision } from './revisions.ts';

export interface Tenant {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
}

/** One page of a list: those whose key comes after `after`. */
export interface PageRequest {
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface Tenants {
  /** Errors: name-taken. */
  create(id: string, name: string): Promise<Tenant>;
  /** Creates it unless it is there. */
  ensure(id: string, name: string): Promise<Tenant>;
  get(id: string): Promise<Tenant | undefined>;
  /** By id; `among`: only these. */
  list(page: PageRequest & { readonly among?: readonly string[] | undefined }): Promise<Tenant[]>;
}

class TenantRow extends Model {
  static override tableName = 'tenants';
  declare id: string;
  declare name: string;
  declare createdAt: Date;
}

export function createTenants(db: Database): Tenants {
  const get = async (id: string) => {
    const row = await TenantRow.query(db).findById(id);
    return row === undefined ? undefined : toTenant(row);
  };
  const create = async (id: string, name: string) => {
    const row = { id, name, createdAt: new Date() };
    try {
      await inTransaction(db, async (trx) => {
        await nextRevision(trx, 'tenants');
        await TenantRow.query(trx).insert(row);
      });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      throw problem('name-taken', {
        detail: `There is a tenant "${id}" already.`,
        errors: [{ pointer: '/id', detail: 'is in use' }],
      });
    }
    return toTenant(row);
  };
  return {
    create,
    get,
    ensure: async (id, name) => {
      const found = await get(id);
      if (found !== undefined) return found;
      try {
        return await create(id, name);
      } catch (error) {
        const made = await get(id);
        if (made === undefined) throw error;
        return made;
      }
    },
    list: async ({ after, limit, among }) => {
      const query = TenantRow.query(db).orderBy('id').limit(limit);
      if (among !== undefined) query.whereIn('id', [...among]);
      if (after !== undefined) query.where('id', '>', after);
      return (await query).map(toTenant);
    },
  };
}

function toTenant(row: { id: string; name: string; createdAt: Date }): Tenant {
  return { id: row.id, name: row.name, createdAt: row.createdAt.toISOString() };
}
