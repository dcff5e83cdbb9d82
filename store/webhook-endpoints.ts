/** Where results are told: a tenant's webhook endpoints. Secrets are sealed here and opened only by `secrets`. */
import { Type } from 'typebox';
import { problem } from '../contracts/problems.ts';
import { endStatuses } from '../contracts/status.ts';
import {
  mostEndpoints,
  WebhookEndpointSchema,
  type DisableCode,
  type WebhookEndpoint,
  type WebhookEndpointEdit,
} from '../contracts/webhooks.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { createSigningSecret } from '../platform/webhook-signature.ts';
import { inTransaction, readJson, type Database, type Transaction } from './database.ts';
import { createId } from './ids.ts';
import type { SealedColumn } from './sealed-columns.ts';
import { nextRevision, type Change } from './revisions.ts';
import type { PageRequest } from './tenants.ts';

/** An endpoint for a cache. */
export interface KnownEndpoint {
  readonly endpoint: WebhookEndpoint;
  readonly isDeleted: boolean;
  /** Those that sign at this time, the newest first. Errors: the key they were sealed with is gone. */
  readonly secrets: (nowMs: number) => readonly string[];
}

export interface Disabling {
  readonly code: DisableCode;
  readonly detail?: string;
}

/** An endpoint of another tenant is not found. */
export interface WebhookEndpoints {
  /** `secret` is shown this once. Errors: too-many-endpoints. */
  create(
    tenantId: string,
    edit: WebhookEndpointEdit,
  ): Promise<{ endpoint: WebhookEndpoint; secret: string }>;
  get(tenantId: string, id: string): Promise<WebhookEndpoint | undefined>;
  /** By id. */
  list(tenantId: string, page: PageRequest): Promise<WebhookEndpoint[]>;
  /** Errors: not-found, version-conflict, forbidden (an administrator has disabled it). */
  update(
    of: { readonly tenantId: string; readonly id: string; readonly expectedVersion: number },
    edit: WebhookEndpointEdit,
  ): Promise<WebhookEndpoint>;
  /** Forgets its secrets, too. Errors: not-found, version-conflict. */
  remove(of: {
    readonly tenantId: string;
    readonly id: string;
    readonly expectedVersion: number;
  }): Promise<void>;
  /** The secret until now goes on signing for `overlapMs`; one before it ends. Errors: not-found. */
  rotateSecret(
    tenantId: string,
    id: string,
    overlapMs: number,
  ): Promise<{ endpoint: WebhookEndpoint; secret: string }>;
  /** False: there is none, or it is disabled; an administrator's word stands over all others. */
  disable(id: string, why: Disabling): Promise<boolean>;
  /** False: there is none, or it is enabled. */
  enable(id: string): Promise<boolean>;
  /** Since when nothing has succeeded; not an edit. A first mark stays until it is taken away. */
  markFailing(id: string, sinceMs: number): Promise<void>;
  markWorking(id: string): Promise<void>;
  /** Of any tenant. */
  find(id: string): Promise<WebhookEndpoint | undefined>;
  /** The number of the newest change. */
  revision(): Promise<number>;
  changedSince(revision: number, limit: number): Promise<Change<KnownEndpoint>[]>;
  /** Forgets at most `limit` that were deleted before then. */
  purge(deletedBeforeMs: number, limit: number): Promise<number>;
}

interface EndpointRow {
  id: string;
  tenantId: string;
  url: string;
  statuses: string;
  description: string | null;
  secrets: string;
  previousSecretUntil: Date | null;
  disabledCode: DisableCode | null;
  disabledDetail: string | null;
  disabledAt: Date | null;
  failingSince: Date | null;
  version: number;
  revision: number;
  createdAt: Date;
  updatedAt: Date;
  deletedAt: Date | null;
}

const statusesValidator = createValidator(WebhookEndpointSchema.properties.statuses);
const secretsValidator = createValidator(Type.Array(Type.String(), { maxItems: 2 }));
const works = { disabledCode: null, disabledDetail: null, disabledAt: null, failingSince: null };

export function createWebhookEndpoints(db: Database, sealer: Sealer): WebhookEndpoints {
  const rows = (on: Database | Transaction = db) => on<EndpointRow>('webhookEndpoints');
  const live = (on: Database | Transaction = db) => rows(on).whereNull('deletedAt');
  const seal = (id: string, secrets: readonly string[]) =>
    sealer.seal(JSON.stringify(secrets), sealContext(id));
  const open = ({ id, secrets }: EndpointRow) =>
    readJson(
      sealer.open(secrets, sealContext(id)).toString('utf8'),
      secretsValidator,
      `secrets of ${id}`,
    );
  const ownRow = async (trx: Transaction, tenantId: string, id: string) => {
    const row = await live(trx).where({ tenantId, id }).forUpdate().first();
    if (row === undefined) throw notFound(id);
    return row;
  };
  /** Changes one live row that the condition holds for. */
  const change = (
    id: string,
    condition: (row: EndpointRow) => boolean,
    changes: Partial<EndpointRow>,
  ) =>
    inTransaction(db, async (trx) => {
      const revision = await nextRevision(trx, 'webhook-endpoints');
      const row = await live(trx).where({ id }).forUpdate().first();
      if (row === undefined || !condition(row)) return false;
      await rows(trx)
        .where({ id })
        .update({ ...changes, revision });
      return true;
    });

  return {
    create: (tenantId, edit) =>
      inTransaction(db, async (trx) => {
        // Its lock lets one in at a time, so that the count holds.
        const revision = await nextRevision(trx, 'webhook-endpoints');
        const [{ count = 0 } = {}] = await live(trx).where({ tenantId }).count({ count: '*' });
        if (Number(count) >= mostEndpoints)
          throw problem('too-many-endpoints', {
            detail: `A tenant has ${mostEndpoints} webhook endpoints at most; delete one that is not needed.`,
          });
        const id = createId('whe');
        const secret = createSigningSecret();
        const now = new Date();
        const row: EndpointRow = {
          id,
          tenantId,
          ...editedColumns(edit),
          secrets: seal(id, [secret]),
          previousSecretUntil: null,
          ...works,
          ...(edit.isEnabled === false && disabledColumns({ code: 'by-hand' }, now)),
          version: 1,
          revision,
          createdAt: now,
          updatedAt: now,
          deletedAt: null,
        };
        await rows(trx).insert(row);
        return { endpoint: toEndpoint(row), secret };
      }),
    get: async (tenantId, id) => {
      const row = await live().where({ tenantId, id }).first();
      return row === undefined ? undefined : toEndpoint(row);
    },
    list: async (tenantId, { after, limit }) => {
      const found = live().where({ tenantId }).orderBy('id').limit(limit);
      if (after !== undefined) void found.where('id', '>', after);
      return (await found).map(toEndpoint);
    },
    update: ({ tenantId, id, expectedVersion }, edit) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'webhook-endpoints');
        const row = await ownRow(trx, tenantId, id);
        assertVersion(row, expectedVersion);
        const isDisabled = row.disabledCode !== null;
        if (edit.isEnabled === true && row.disabledCode === 'by-administrator')
          throw problem('forbidden', {
            detail: 'An administrator has disabled this endpoint, and only one can enable it.',
            errors: [{ pointer: '/isEnabled', detail: 'is not for this key to change now' }],
          });
        const now = new Date();
        const next: EndpointRow = {
          ...row,
          ...editedColumns(edit),
          ...(edit.isEnabled === true && isDisabled && works),
          ...(edit.isEnabled === false && !isDisabled && disabledColumns({ code: 'by-hand' }, now)),
          version: row.version + 1,
          revision,
          updatedAt: now,
        };
        await rows(trx).where({ id }).update(next);
        return toEndpoint(next);
      }),
    remove: ({ tenantId, id, expectedVersion }) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'webhook-endpoints');
        assertVersion(await ownRow(trx, tenantId, id), expectedVersion);
        const now = new Date();
        await rows(trx)
          .where({ id })
          .update({ secrets: seal(id, []), updatedAt: now, deletedAt: now, revision });
      }),
    rotateSecret: (tenantId, id, overlapMs) =>
      inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'webhook-endpoints');
        const row = await ownRow(trx, tenantId, id);
        const secret = createSigningSecret();
        const now = new Date();
        const next: EndpointRow = {
          ...row,
          secrets: seal(id, [secret, ...open(row).slice(0, overlapMs > 0 ? 1 : 0)]),
          previousSecretUntil: overlapMs > 0 ? new Date(now.getTime() + overlapMs) : null,
          version: row.version + 1,
          revision,
          updatedAt: now,
        };
        await rows(trx).where({ id }).update(next);
        return { endpoint: toEndpoint(next), secret };
      }),
    disable: (id, why) =>
      change(
        id,
        ({ disabledCode }) =>
          disabledCode === null ||
          (why.code === 'by-administrator' && disabledCode !== 'by-administrator'),
        disabledColumns(why, new Date()),
      ),
    enable: (id) => change(id, ({ disabledCode }) => disabledCode !== null, works),
    markFailing: async (id, sinceMs) =>
      void (await change(id, (row) => row.failingSince === null, {
        failingSince: new Date(sinceMs),
      })),
    markWorking: async (id) =>
      void (await change(id, (row) => row.failingSince !== null, { failingSince: null })),
    find: async (id) => {
      const row = await live().where({ id }).first();
      return row === undefined ? undefined : toEndpoint(row);
    },
    revision: async () => {
      const row = await db('revisions').where({ kind: 'webhook-endpoints' }).first('number');
      return Number(row?.number ?? 0);
    },
    purge: (deletedBeforeMs, limit) =>
      rows().where('deletedAt', '<', new Date(deletedBeforeMs)).limit(limit).del(),
    changedSince: async (revision, limit) => {
      const changed = await rows()
        .where('revision', '>', revision)
        .orderBy('revision')
        .limit(limit);
      return changed.map((row) => ({
        id: row.id,
        revision: row.revision,
        read: () => toKnown(row, open(row)),
      }));
    },
  };
}

const sealContext = (id: string) => `webhook-endpoint:${id}`;

export const sealedWebhookSecrets: SealedColumn<{ id: string }> = {
  what: 'webhook secrets',
  table: 'webhookEndpoints',
  column: 'secrets',
  keys: ['id'],
  form: 'direct',
  context: ({ id }) => sealContext(id),
};

function notFound(id: string) {
  return problem('not-found', { detail: `There is no webhook endpoint with the id "${id}".` });
}

function assertVersion({ version }: EndpointRow, expected: number): void {
  if (version !== expected)
    throw problem('version-conflict', {
      detail: `You read version ${expected}; it is version ${version} now.`,
      errors: [{ pointer: 'header/if-match', detail: `is not the current "${version}"` }],
    });
}

function editedColumns({ url, statuses = [...endStatuses], description }: WebhookEndpointEdit) {
  return { url, statuses: JSON.stringify(statuses), description: description ?? null };
}

function disabledColumns({ code, detail }: Disabling, at: Date) {
  return { disabledCode: code, disabledDetail: detail ?? null, disabledAt: at };
}

function toKnown(row: EndpointRow, [current, previous]: readonly string[]): KnownEndpoint {
  const untilMs = row.previousSecretUntil?.getTime() ?? 0;
  return {
    endpoint: toEndpoint(row),
    isDeleted: row.deletedAt !== null,
    secrets: (nowMs) =>
      [current, nowMs < untilMs ? previous : undefined].filter((secret) => secret !== undefined),
  };
}

function toEndpoint(row: EndpointRow): WebhookEndpoint {
  const { disabledCode, disabledDetail, disabledAt, previousSecretUntil } = row;
  return {
    id: row.id,
    tenantId: row.tenantId,
    url: row.url,
    statuses: readJson(row.statuses, statusesValidator, `statuses of ${row.id}`),
    ...(row.description !== null && { description: row.description }),
    isEnabled: disabledCode === null,
    ...(disabledCode !== null && {
      disabled: {
        code: disabledCode,
        ...(disabledDetail !== null && { detail: disabledDetail }),
        at: (disabledAt ?? row.updatedAt).toISOString(),
      },
    }),
    ...(row.failingSince !== null && { failingSince: row.failingSince.toISOString() }),
    ...(previousSecretUntil !== null &&
      previousSecretUntil.getTime() > Date.now() && {
        previousSecretUntil: previousSecretUntil.toISOString(),
      }),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}
