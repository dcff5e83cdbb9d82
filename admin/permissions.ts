/**
 * Who may call what, of every operation of the API: the one table, held to in front of every handler by `admin/permit.ts`.
 * An operation that is not in it is for the administrator of all tenants alone.
 */
import type { PostRedrive } from '../contracts/redrive.ts';
import type { StopScope } from '../contracts/stops.ts';
import type { Role } from '../contracts/users.ts';
import type { Store } from '../store/index.ts';

/** What has a tenant: the tenant of one by its id; undefined: there is none, or it is of no single tenant. */
export const owners = {
  tenant: async (store, id) => (await store.tenants.get(id))?.id,
  // A removed one too: what waits for it may still be taken back.
  'channel-account': async (store, id) => (await store.channelAccounts.find(id))?.account.tenantId,
  // One of which nothing was published yet, too.
  template: async (store, id) =>
    (await store.templateVersions.list(id, { limit: 1 }))?.[0]?.tenantId,
  stop: async (store, id) => (await store.stops.get(id))?.tenantId,
  redrive: async (store, id) => (await store.redrives.get(id))?.tenantId,
  batch: async (store, id) => (await store.batches.get(id))?.tenantId,
  'webhook-endpoint': async (store, id) => (await store.webhookEndpoints.find(id))?.tenantId,
} as const satisfies Record<string, (store: Store, id: string) => Promise<string | undefined>>;
export type Owned = keyof typeof owners;

/** A thing that a body names, whose tenant must be the caller's too. */
export interface Mention {
  readonly kind: Owned;
  readonly id: string;
  /** JSON Pointer of the field that names it. */
  readonly pointer: string;
}

/** Where the tenant of a call comes from. */
export type TenantSource =
  /** `tenantId` of the query: defaulted to the caller's, where they have one alone. */
  | { readonly in: 'query' }
  /** `tenantId` of the body, in the same way; or the tenant of what the body names. */
  | { readonly in: 'body'; readonly mentions?: (body: never) => readonly Mention[] }
  /** The tenant of what the path names. */
  | { readonly in: 'path'; readonly param: string; readonly kind: Owned }
  /** It concerns all tenants. */
  | { readonly in: 'installation' }
  /** It concerns none: the role in any tenant will do. */
  | { readonly in: 'nothing' }
  /** The handler shows and takes only what the caller's grants reach. */
  | { readonly in: 'grants' };

export interface Permission {
  /** Which role is needed; absent: everybody who is signed in. */
  readonly role?: Role;
  readonly tenant: TenantSource;
  /**
   * The kind of thing that is acted on; its id (from the path, or that of the answer) and what is answered go into
   * the audit log, without secrets. Absent: neither does, as where an id or an answer may tell of a recipient.
   */
  readonly target?: string;
  /** A GET that is written down like what is none. */
  readonly isChange?: true;
  /** The id of the target where only the body tells it. */
  readonly targetOf?: (store: Store, body: never) => Promise<string | undefined>;
}

const query = { in: 'query' } as const;
const body = { in: 'body' } as const;
const installation = { in: 'installation' } as const;
const nothing = { in: 'nothing' } as const;
const grants = { in: 'grants' } as const;
const path = (kind: Owned, param = 'id') => ({ in: 'path', kind, param }) as const;

const accountRead = { role: 'viewer', target: 'channel-account' } as const;
const accountEdit = { role: 'administrator', target: 'channel-account' } as const;
const templateRead = { role: 'viewer', target: 'template' } as const;
const templateReview = { role: 'approver', target: 'template' } as const;
const templateEdit = { role: 'editor', target: 'template' } as const;
const operate = (target: string) => ({ role: 'operator', target }) as const;

/** By operationId. */
export const permissions: Readonly<Record<string, Permission>> = {
  listTenants: { role: 'viewer', tenant: grants },
  createTenant: { role: 'administrator', tenant: installation, target: 'tenant' },
  listApiKeys: { role: 'viewer', tenant: path('tenant') },
  createApiKey: { role: 'administrator', tenant: path('tenant'), target: 'api-key' },
  revokeApiKey: { role: 'administrator', tenant: path('tenant'), target: 'api-key' },
  getTenantPolicy: { role: 'viewer', tenant: path('tenant'), target: 'tenant-policy' },
  putTenantPolicy: { role: 'administrator', tenant: path('tenant'), target: 'tenant-policy' },
  getTenantQuotas: { role: 'viewer', tenant: path('tenant'), target: 'tenant-quotas' },
  getTenantResultTopic: {
    role: 'viewer',
    tenant: path('tenant'),
    target: 'tenant-result-topic',
  },
  putTenantResultTopic: {
    role: 'administrator',
    tenant: path('tenant'),
    target: 'tenant-result-topic',
  },
  putTenantQuotas: { role: 'administrator', tenant: path('tenant'), target: 'tenant-quotas' },

  listConnectors: { role: 'viewer', tenant: nothing },
  listChannelAccounts: { role: 'viewer', tenant: query },
  createChannelAccount: { ...accountEdit, tenant: body },
  getChannelAccount: { ...accountRead, tenant: path('channel-account') },
  replaceChannelAccount: { ...accountEdit, tenant: path('channel-account') },
  deleteChannelAccount: { ...accountEdit, tenant: path('channel-account') },
  getChannelAccountHealth: { ...accountRead, tenant: path('channel-account') },
  verifyChannelAccount: { ...operate('channel-account'), tenant: path('channel-account') },
  listCircuits: { role: 'viewer', tenant: grants },
  closeCircuit: { ...operate('circuit'), tenant: path('channel-account', 'accountId') },
  listSecrets: { role: 'administrator', tenant: installation },
  rewrapSecrets: { role: 'administrator', tenant: installation },

  listBatches: { role: 'viewer', tenant: query },
  getBatch: { role: 'viewer', target: 'batch', tenant: path('batch') },
  createStop: { ...operate('stop'), tenant: { in: 'body', mentions: mentionsOfStop } },
  listStops: { role: 'viewer', tenant: query },
  resumeStop: { ...operate('stop'), tenant: path('stop') },

  createRedrive: { ...operate('redrive'), tenant: { in: 'body', mentions: mentionsOfRedrive } },
  listRedrives: { role: 'viewer', tenant: query },
  getRedrive: { role: 'viewer', target: 'redrive', tenant: path('redrive') },
  cancelRedrive: { ...operate('redrive'), tenant: path('redrive') },

  listTemplates: { role: 'viewer', tenant: query },
  createTemplate: { ...templateEdit, tenant: body },
  previewTemplate: { role: 'viewer', tenant: nothing },
  getTemplate: { role: 'viewer', target: 'template', tenant: path('template') },
  replaceTemplate: { ...templateEdit, tenant: path('template') },
  deleteTemplate: { ...templateEdit, tenant: path('template') },
  lintTemplate: { role: 'viewer', tenant: nothing },
  exportTemplates: { role: 'viewer', tenant: query },
  importTemplates: { role: 'editor', tenant: query },
  listTemplateVersionsByState: { role: 'viewer', tenant: query },
  listTemplateVersions: { ...templateRead, tenant: path('template') },
  getTemplateVersion: { ...templateRead, tenant: path('template') },
  diffTemplateVersions: { ...templateRead, tenant: path('template') },
  draftTemplateVersion: { ...templateEdit, tenant: path('template') },
  editTemplateVersion: { ...templateEdit, tenant: path('template') },
  discardTemplateVersion: { ...templateEdit, tenant: path('template') },
  submitTemplateVersion: { ...templateEdit, tenant: path('template') },
  // No target: the answer may tell of a recipient.
  testTemplateVersion: { role: 'editor', tenant: path('template') },
  // No target: the answer may tell of recipients. Texts are the administrator's alone.
  replayTemplateVersion: { role: 'viewer', tenant: path('template') },
  approveTemplateVersion: { ...templateReview, tenant: path('template') },
  rejectTemplateVersion: { ...templateReview, tenant: path('template') },
  // Only where the tenant requires no review.
  publishTemplateVersion: { ...templateEdit, tenant: path('template') },
  rollbackTemplate: { ...templateReview, tenant: path('template') },

  searchMessages: { role: 'viewer', tenant: query },
  countMessages: { role: 'viewer', tenant: query },
  exportMessages: { role: 'viewer', tenant: query },
  queryMessages: { role: 'viewer', tenant: query },
  listDeadLetters: { role: 'viewer', tenant: query },
  explainMessage: { role: 'viewer', tenant: query },

  listWebhookEndpoints: { role: 'viewer', tenant: query },
  enableWebhookEndpoint: { ...operate('webhook-endpoint'), tenant: path('webhook-endpoint') },
  disableWebhookEndpoint: { ...operate('webhook-endpoint'), tenant: path('webhook-endpoint') },

  createSession: { tenant: nothing, target: 'user', targetOf: userOfLogin },
  deleteCurrentSession: { tenant: nothing },
  startOidc: { tenant: nothing },
  finishOidc: { tenant: nothing, target: 'user', isChange: true },
  getMe: { tenant: nothing },
  changePassword: { tenant: nothing },
  listTokens: { tenant: nothing },
  createToken: { tenant: nothing, target: 'token' },
  revokeToken: { tenant: nothing, target: 'token' },

  listUsers: { role: 'administrator', tenant: grants },
  createUser: { role: 'administrator', tenant: grants, target: 'user' },
  getUser: { role: 'administrator', tenant: grants, target: 'user' },
  replaceUser: { role: 'administrator', tenant: grants, target: 'user' },
  deleteUser: { role: 'administrator', tenant: grants, target: 'user' },

  // Payloads do not say whose they are, and hold one-time passwords.
  decodePayloads: { role: 'administrator', tenant: installation },
  encodePayloads: { role: 'administrator', tenant: installation },

  listAudit: { role: 'viewer', tenant: query },
  exportAudit: { role: 'viewer', tenant: query },
};

function mentionsOfStop({ scope }: { scope: StopScope }): readonly Mention[] {
  const pointer = '/scope/value';
  if (scope.kind === 'tenant') return [{ kind: 'tenant', id: scope.value, pointer }];
  if (scope.kind === 'account') return [{ kind: 'channel-account', id: scope.value, pointer }];
  return [];
}

function mentionsOfRedrive({ filter }: PostRedrive): readonly Mention[] {
  const id = filter?.accountId;
  return id === undefined ? [] : [{ kind: 'channel-account', id, pointer: '/filter/accountId' }];
}

async function userOfLogin(store: Store, { login }: { login: string }) {
  return (await store.users.findByLogin(login))?.id;
}
