/** Redrives that operators asked for: what to send again, and how far it has come. */
import {
  PostRedriveSchema,
  RedrivePlaceSchema,
  RedriveProgressSchema,
  type PostRedrive,
  type Redrive,
  type RedrivePlace,
  type RedriveProgress,
  type RedriveState,
} from '../contracts/redrive.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson, type Database } from './database.ts';
import { createId } from './ids.ts';

/** A redrive as the process that runs it sees it. */
export interface RunningRedrive {
  readonly redrive: Redrive;
  readonly place: RedrivePlace;
  /** Counts up with each write: who writes with an older one is no longer the one who runs it. */
  readonly version: number;
}

export interface Redrives {
  create(request: PostRedrive): Promise<Redrive>;
  get(id: string): Promise<Redrive | undefined>;
  /** Newest first; `after` is the `listKey` of the last one of the page before. */
  list(page: {
    readonly after?: string | undefined;
    readonly limit: number;
    readonly tenantId?: string | undefined;
    readonly state?: RedriveState | undefined;
  }): Promise<Redrive[]>;
  /** Those that are not done, oldest first. */
  listRunning(): Promise<RunningRedrive[]>;
  /** Writes how far it has come. undefined: it was cancelled, or another process runs it. */
  save(
    running: RunningRedrive,
    next: {
      readonly progress: RedriveProgress;
      readonly place: RedrivePlace;
      readonly isDone: boolean;
    },
  ): Promise<RunningRedrive | undefined>;
  /** Ends a running one; one that has ended stays as it is. undefined: there is none. */
  cancel(id: string): Promise<Redrive | undefined>;
}

interface RedriveRow {
  id: string;
  tenantId: string | null;
  request: string;
  state: RedriveState;
  progress: string;
  place: string;
  version: number;
  createdAt: Date;
  updatedAt: Date;
  endedAt: Date | null;
}

const requestValidator = createValidator(PostRedriveSchema);
const progressValidator = createValidator(RedriveProgressSchema);
const placeValidator = createValidator(RedrivePlaceSchema);

/** What a page of the list goes on from. */
export const listKey = ({ createdAt, id }: Pick<Redrive, 'createdAt' | 'id'>): string =>
  `${Date.parse(createdAt)}.${id}`;

export function createRedrives(db: Database): Redrives {
  const rows = () => db<RedriveRow>('redrives');
  return {
    create: async (request) => {
      const now = new Date();
      const { ids } = request;
      const place: RedrivePlace = { page: ids ?? [], isLastPage: ids !== undefined };
      const progress: RedriveProgress = {
        found: ids?.length ?? 0,
        started: 0,
        alreadyOpen: 0,
        skipped: {},
      };
      const row: RedriveRow = {
        id: createId('rdr'),
        tenantId: request.tenantId ?? null,
        request: JSON.stringify(request),
        state: 'running',
        progress: JSON.stringify(progress),
        place: JSON.stringify(place),
        version: 1,
        createdAt: now,
        updatedAt: now,
        endedAt: null,
      };
      await rows().insert(row);
      return toRedrive(row);
    },
    get: async (id) => {
      const row = await rows().where({ id }).first();
      return row === undefined ? undefined : toRedrive(row);
    },
    list: async ({ after, limit, tenantId, state }) => {
      const [, ms, id] = /^(\d{1,15})\.(.+)$/.exec(after ?? '') ?? [];
      const createdAt = new Date(Number(ms));
      const found = rows()
        .orderBy([
          { column: 'createdAt', order: 'desc' },
          { column: 'id', order: 'desc' },
        ])
        .limit(limit);
      if (tenantId !== undefined) void found.where({ tenantId });
      if (state !== undefined) void found.where({ state });
      if (id !== undefined)
        void found.where((older) =>
          older
            .where('createdAt', '<', createdAt)
            .orWhere((same) => same.where({ createdAt }).where('id', '<', id)),
        );
      return (await found).map(toRedrive);
    },
    listRunning: async () =>
      (await rows().where({ state: 'running' }).orderBy('createdAt')).map((row) => ({
        redrive: toRedrive(row),
        place: readJson(row.place, placeValidator, `redrive ${row.id}`),
        version: row.version,
      })),
    save: async ({ redrive, version }, { progress, place, isDone }) => {
      const now = new Date();
      const state: RedriveState = isDone ? 'done' : 'running';
      const changed = await rows()
        .where({ id: redrive.id, state: 'running', version })
        .update({
          state,
          progress: JSON.stringify(progress),
          place: JSON.stringify(place),
          version: version + 1,
          updatedAt: now,
          endedAt: isDone ? now : null,
        });
      if (changed !== 1) return undefined;
      const updatedAt = now.toISOString();
      return {
        redrive: {
          ...redrive,
          ...progress,
          state,
          updatedAt,
          ...(isDone && { endedAt: updatedAt }),
        },
        place,
        version: version + 1,
      };
    },
    cancel: async (id) => {
      const now = new Date();
      await rows()
        .where({ id, state: 'running' })
        .update({
          state: 'cancelled',
          version: db.raw('version + 1'),
          updatedAt: now,
          endedAt: now,
        });
      const row = await rows().where({ id }).first();
      return row === undefined ? undefined : toRedrive(row);
    },
  };
}

function toRedrive(row: RedriveRow): Redrive {
  return {
    id: row.id,
    ...readJson(row.request, requestValidator, `redrive ${row.id}`),
    state: row.state,
    ...readJson(row.progress, progressValidator, `redrive ${row.id}`),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    ...(row.endedAt !== null && { endedAt: row.endedAt.toISOString() }),
  };
}
