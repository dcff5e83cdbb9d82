/** The table `messages` as SQL sees it: the one list of its columns, which docs/operations.md prints. */

/**
 * `any`: everywhere; `unranged`: not compared by less and more; `match`: shown, and compared by = <> IN; `show`: only in
 * SELECT.
 */
export type ColumnUse = 'any' | 'unranged' | 'match' | 'show';
export type ColumnType = 'text' | 'number' | 'time';

export interface Column {
  readonly name: string;
  /** In the document; `source` says where its value is read, if it is another place. */
  readonly field: string;
  readonly source?: string;
  readonly type: ColumnType;
  readonly use: ColumnUse;
  readonly says: string;
}

const column = (
  name: string,
  says: string,
  more: Partial<Omit<Column, 'name' | 'says'>> = {},
): Column => ({ name, field: name, type: 'text', use: 'any', says, ...more });

export const columns: readonly Column[] = [
  column('id', 'the message', { field: 'messageId' }),
  column('status', 'where it stands: docs/statuses.md'),
  column('reason', 'code of the reason', { field: 'reason.code' }),
  column('reasonDetail', 'the reason in words', { field: 'reason.detail', use: 'show' }),
  column('kind', 'otp, notice or marketing'),
  column('template', 'name of its template'),
  column('templateVersion', 'version it was sent with', { type: 'number', use: 'show' }),
  column('locale', 'language it was rendered in'),
  column('localeFrom', 'who asked for that language', { use: 'show' }),
  column('wantedLocale', 'language that its request asked for', { use: 'show' }),
  column('channel', 'sms, push, email, …'),
  column('connector', 'protocol of its provider'),
  column('accountId', 'channel account'),
  column('priority', 'lane: critical, normal or bulk'),
  column('batch', 'name of its batch'),
  column('orderingKey', 'ordering key'),
  column('recipient', 'compared with a whole address; shown masked', {
    field: 'recipientHash',
    source: 'recipientMasked',
    use: 'match',
  }),
  column('providerId', "the provider's id of it", { use: 'match' }),
  column('attemptOutcome', 'what any of its attempts came to; all shown', {
    field: 'attemptOutcomes',
    use: 'match',
  }),
  column('providerCode', "provider's code of any attempt; all shown", {
    field: 'providerCodes',
    use: 'match',
  }),
  column('attempts', 'provider calls concluded', { type: 'number' }),
  column('acceptedAt', 'when it was accepted', { type: 'time' }),
  column('updatedAt', 'when it became what it is', { type: 'time' }),
  column('nextAttemptAt', 'when it is tried next', { type: 'time' }),
  column('sendAt', 'not sent before', { type: 'time', use: 'show' }),
  column('expiresAt', 'no attempt is begun after it', { type: 'time', use: 'show' }),
];

const byName = new Map(columns.map((one) => [one.name.toLowerCase(), one]));

/** Names are taken without regard to capitals, as SQL does where they are not quoted. */
export function findColumn(name: string): Column | undefined {
  return byName.get(name.toLowerCase());
}

/** One of the tenant's own keys, `metadata->>'orderId'`; undefined: it can be none. */
export function metadataColumn(key: string): Column | undefined {
  return /^[A-Za-z0-9_.-]{1,64}$/.test(key)
    ? column(`metadata->>'${key}'`, 'one of your own keys', {
        field: `metadata.${key}`,
        use: 'unranged',
      })
    : undefined;
}

/** The value of a column in a document. */
export function valueIn(document: unknown, { field, source = field }: Column): unknown {
  const [first = '', ...rest] = source.split('.');
  const value = (document as Record<string, unknown> | undefined)?.[first];
  if (Array.isArray(value)) return value.join(', ');
  // Keys of metadata may hold dots themselves.
  return (
    (rest.length === 0
      ? value
      : (value as Record<string, unknown> | undefined)?.[rest.join('.')]) ?? null
  );
}
