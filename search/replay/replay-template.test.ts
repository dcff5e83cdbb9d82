import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connector } from '../../contracts/channel.ts';
import type { TemplateEdit } from '../../contracts/template.ts';
import { createLogger } from '../../platform/logger.ts';
import { cursorAfter, type MessageIndex } from '../../store/message-index.ts';
import { sampleSnapshot } from '../../tests/message-samples.ts';
import { replayTemplate, type Replay } from './replay-template.ts';

const minute = (past: number) => new Date(Date.UTC(2026, 10, 20, 8, 59 - past)).toISOString();
/** Newest first, as the search gives them. */
const messages = Array.from({ length: 5 }, (_, past) =>
  sampleSnapshot({ acceptedAt: minute(past), templateVersion: 1, connector: 'plain' }),
);
const search: MessageIndex['search'] = async ({ limit, cursor }) => {
  const first =
    cursor === undefined ? 0 : messages.findIndex((one) => cursorAfter(one) === cursor) + 1;
  const items = messages.slice(first, first + limit);
  const last = items.at(-1);
  const total = { value: messages.length, relation: 'eq' } as const;
  const hasMore = first + limit < messages.length && last !== undefined;
  return { items, total, ...(hasMore && { nextCursor: cursorAfter(last) }) };
};
const edit = (text: string): TemplateEdit => ({
  name: 'login-code',
  kind: 'otp',
  variables: { code: { type: 'string' } },
  contents: { plain: { text } },
});
const deps: Parameters<typeof replayTemplate>[0] = {
  index: {
    search,
    requests: async (of) => of.map(() => ({ result: 'kept', sealed: 'sealed' })),
  },
  connectors: new Map([['plain', { name: 'plain', contentSchema: {} } as Connector]]),
  schemaFaults: () => [],
  logger: createLogger('test', 'silent'),
  openRequest: async () => ({ to: { phone: '13900001111' }, variables: { code: '1234' } }),
  versionOf: async () => edit('{{code}}'),
};
const replay: Replay = {
  filter: { tenantId: 'demo' },
  version: 2,
  template: edit('code {{code}}'),
  versionInForce: 1,
  limit: 1000,
  sample: 10,
  hasTexts: true,
};

test('a call whose time is up ends after the message in hand, and the next one goes on behind it', async () => {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const reply = await replayTemplate(deps, { ...replay, cursor, withinMs: 0 });
    assert.equal(reply.looked, 1);
    seen.push(...reply.differences.map(({ id }) => id));
    cursor = reply.nextCursor;
  } while (cursor !== undefined);
  assert.deepEqual(
    seen,
    messages.map(({ messageId }) => messageId),
  );
});

test('a text is shown in part, however long it is', async () => {
  const template = edit(`${'long '.repeat(12_000)}{{code}}`);
  const { differences } = await replayTemplate(deps, { ...replay, template });
  assert.deepEqual(
    differences.map(({ diff }) => diff?.length),
    messages.map(() => 16_000),
  );
});
