/** What the simulated WeChat remembers of messages and people: repeats, quotas, who follows, and who accepted what. */
import { refuse, type Draft, type Refusal } from './simulator-checks.ts';
import { relationOf, type Relation, type WechatSimulatorSettings } from './simulator-settings.ts';

/** Messages of a subscription template that a person still takes. */
export interface SetGrant {
  readonly appId: string;
  readonly openid: string;
  readonly templateId: string;
  readonly count: number;
}

export interface Limits {
  /** The id of the first message with this client_msg_id to this person, for ten minutes. */
  repeated(draft: Draft): string | undefined;
  refusal(draft: Draft): Refusal | undefined;
  record(draft: Draft, providerId: string): void;
  /** Messages of an account today. */
  used(appId: string): number;
  readonly setRelation: (appId: string, openid: string, relation: Relation) => void;
  readonly setGrants: (grant: SetGrant) => void;
  clear(): void;
}

const repeatMs = 600_000;
const dayMs = 86_400_000;
const utc8Ms = 8 * 3_600_000;
const relationTexts: Readonly<Record<Exclude<Relation, 'follower'>, string>> = {
  '40003': 'invalid openid',
  '43004': 'require subscribe',
  '43019': 'require remove blacklist',
  '43101': 'user refuse to accept the msg',
  '43117': 'reach user frequency limit',
};

/** Makes an empty memory; `now` is the simulated clock. */
export function createLimits(options: {
  readonly now: () => number;
  readonly settings: () => WechatSimulatorSettings;
}): Limits {
  const { now, settings } = options;
  const firsts = new Map<string, { readonly providerId: string; readonly atMs: number }>();
  const times = new Map<string, readonly number[]>();
  const usedToday = new Map<string, number>();
  const relations = new Map<string, Relation>();
  const grants = new Map<string, number>();

  const repeatKey = (draft: Draft) =>
    draft.template.library === 'template' && draft.clientMsgId !== undefined
      ? `${draft.app.appId}/${draft.openid}/${draft.clientMsgId}`
      : undefined;
  const dayKey = (appId: string) => `${appId}/${Math.floor((now() + utc8Ms) / dayMs)}`;
  const grantKey = (grant: Omit<SetGrant, 'count'>) =>
    `${grant.appId}/${grant.openid}/${grant.templateId}`;
  const grantKeyOf = ({ app, openid, template }: Draft) =>
    grantKey({ appId: app.appId, openid, templateId: template.templateId });
  const grantsLeft = (draft: Draft) => grants.get(grantKeyOf(draft)) ?? settings().defaultGrants;
  const recentTimes = ({ app, openid }: Draft, windowMs: number) =>
    (times.get(`${app.appId}/${openid}`) ?? []).filter((at) => now() - at < windowMs);

  const relationFault = ({ app, openid, template }: Draft): Refusal | undefined => {
    const relation = relations.get(`${app.appId}/${openid}`) ?? relationOf(openid);
    if (relation === 'follower') return undefined;
    // Who subscribed to a template need not follow the account.
    if (relation === '43004' && template.library === 'subscribe') return undefined;
    return refuse(Number(relation), relationTexts[relation]);
  };

  return {
    repeated: (draft) => {
      const first = firsts.get(repeatKey(draft) ?? '');
      return first !== undefined && now() - first.atMs < repeatMs ? first.providerId : undefined;
    },
    refusal: (draft) => {
      const fault = relationFault(draft);
      if (fault !== undefined) return fault;
      const { dailyQuota, recipientWindow } = settings();
      if ((usedToday.get(dayKey(draft.app.appId)) ?? 0) >= dailyQuota)
        return refuse(45009, 'reach max api daily quota limit');
      if (recipientWindow !== null) {
        const { count, windowSeconds } = recipientWindow;
        if (recentTimes(draft, windowSeconds * 1000).length >= count)
          return refuse(43117, relationTexts['43117']);
      }
      return draft.template.library === 'subscribe' && grantsLeft(draft) === 0
        ? refuse(43101, relationTexts['43101'])
        : undefined;
    },
    record: (draft, providerId) => {
      const key = repeatKey(draft);
      if (key !== undefined) {
        firsts.delete(key);
        firsts.set(key, { providerId, atMs: now() });
        for (const [old, { atMs }] of firsts) {
          if (now() - atMs < repeatMs) break;
          firsts.delete(old);
        }
      }
      const day = dayKey(draft.app.appId);
      usedToday.set(day, (usedToday.get(day) ?? 0) + 1);
      const { recipientWindow } = settings();
      if (recipientWindow !== null)
        times.set(`${draft.app.appId}/${draft.openid}`, [
          ...recentTimes(draft, recipientWindow.windowSeconds * 1000),
          now(),
        ]);
      const left = draft.template.library === 'subscribe' ? grantsLeft(draft) : null;
      if (left !== null) grants.set(grantKeyOf(draft), left - 1);
    },
    used: (appId) => usedToday.get(dayKey(appId)) ?? 0,
    setRelation: (appId, openid, relation) => void relations.set(`${appId}/${openid}`, relation),
    setGrants: (grant) => void grants.set(grantKey(grant), grant.count),
    clear: () => {
      for (const memory of [firsts, times, usedToday, relations, grants]) memory.clear();
    },
  };
}
