/** SQL against a computation over the same documents in memory, and everything that must be refused. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { Problem } from '../../contracts/problems.ts';
import { sequences, type Snapshot } from '../../contracts/result.ts';
import { createNames } from '../../contracts/topics.ts';
import { createElasticsearch } from '../../platform/elasticsearch.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMessageIndex } from '../../store/message-index.ts';
import { sampleSnapshot } from '../../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl, until } from '../../tests/stack.ts';
import { columns } from './columns.ts';
import { sqlLimits } from './limits.ts';
import { readSelect } from './read-select.ts';
import { runSelect, type Cell } from './run-select.ts';

const names = createNames(freshPrefix());
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const index = createMessageIndex({ client, names, logger: createLogger('test', 'silent') });
const tenantId = 'ten_sql';
const nowMs = Date.parse('2026-11-14T00:00:00Z');
const run = { client, index: names.messageIndices };

const read = (query: string) =>
  readSelect(query, {
    nowMs,
    hashAddress: (text) => (text.startsWith('139') ? { hash: `hash of ${text}` } : 'is no address'),
  });
const ask = async (query: string, tenant = tenantId) =>
  (await runSelect(run, tenant, read(query))).rows;

/** The same numbers each time, so that a failure can be repeated. */
function createRandom(seed: number) {
  let state = seed;
  const next = () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
  return {
    below: (most: number) => Math.floor(next() * most),
    one: <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)] as T,
    chance: (part: number) => next() < part,
  };
}
type Random = ReturnType<typeof createRandom>;

const random = createRandom(20_261_121);
const templates = [
  'login-code',
  'offer',
  'plain notice',
  'A%b_c',
  'a*b?c',
  '订单通知',
  'Zoë',
  "o'clock",
];
const documents: Snapshot[] = Array.from({ length: 200 }, (_, serial) => {
  const acceptedAt = new Date(nowMs - 1000 - random.below(2 * 86_400_000)).toISOString();
  return sampleSnapshot({
    acceptedAt,
    tenantId,
    sequence: sequences.sending,
    status: random.one(['sent', 'failed', 'retrying', 'delivered']),
    template: random.one(templates),
    channel: random.one(['sms', 'push', 'email']),
    attempts: random.below(5),
    recipientHash: `hash of 139${serial % 7}`,
    recipientMasked: `139****${serial % 7}`,
    metadata: random.chance(0.5) ? { 'order.Id': `SO-${random.below(5)}` } : {},
    ...(random.chance(0.4) && { batch: random.one(['spring', 'autumn']) }),
    ...(random.chance(0.3) && {
      reason: { code: random.one(['expired', 'transient']), detail: 'why' },
    }),
    ...(random.chance(0.3) && {
      nextAttemptAt: new Date(nowMs + random.below(5) * 3_600_000).toISOString(),
    }),
    ...(random.chance(0.5) && { providerId: `p${serial}` }),
  });
});
const theirs = documents.slice(0, 50).map((document) => ({
  ...sampleSnapshot({ acceptedAt: document.acceptedAt }),
  tenantId: 'ten_other',
  sequence: sequences.sending,
  status: document.status,
  template: document.template,
}));

before(async () => {
  await index.install();
  for (const result of await index.writeEvents([...documents, ...theirs]))
    assert.equal(result.result, 'written');
  await client.indices.refresh({ index: names.messageIndices });
});
after(async () => {
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

/** What the test itself knows of a column. */
interface Field {
  readonly sql: string;
  readonly get: (document: Snapshot) => string | number | undefined;
  readonly values: readonly (string | number)[];
}
const text = (values: readonly string[]) => values;
const fields: readonly Field[] = [
  { sql: 'status', get: (d) => d.status, values: text(['sent', 'failed', 'retrying', 'nothing']) },
  { sql: 'template', get: (d) => d.template, values: text(templates) },
  { sql: 'CHANNEL', get: (d) => d.channel, values: text(['sms', 'push', 'zz']) },
  { sql: 'batch', get: (d) => d.batch, values: text(['spring', 'autumn', 'b']) },
  { sql: 'reason', get: (d) => d.reason?.code, values: text(['expired', 'transient']) },
  { sql: 'attempts', get: (d) => d.attempts, values: [0, 1, 2.5, 4, -1] },
  {
    sql: '"acceptedAt"',
    get: (d) => d.acceptedAt,
    values: documents.slice(0, 9).map((d) => d.acceptedAt),
  },
  {
    sql: 'nextAttemptAt',
    get: (d) => d.nextAttemptAt,
    values: [new Date(nowMs + 7_200_000).toISOString()],
  },
  {
    sql: "metadata->>'order.Id'",
    get: (d) => d.metadata['order.Id'],
    values: text(['SO-1', 'SO-3', '']),
  },
];
const literal = (value: string | number) =>
  typeof value === 'number' ? String(value) : `'${value.replaceAll("'", "''")}'`;
const order = (a: string | number, b: string | number) =>
  typeof a === 'number' ? a - Number(b) : Buffer.compare(Buffer.from(a), Buffer.from(String(b)));

interface Tested {
  readonly sql: string;
  /** undefined: neither true nor false. */
  readonly is: (document: Snapshot) => boolean | undefined;
}

function someLeaf(r: Random): Tested {
  const { sql, get, values } = r.one(fields);
  const about = (says: string, test: (value: string | number) => boolean): Tested => ({
    sql: `${sql} ${says}`,
    is: (document) => {
      const value = get(document);
      return value === undefined ? undefined : test(value);
    },
  });
  const value = r.one(values);
  const isText = typeof value === 'string' && !sql.includes('At');
  const isUnranged = sql.startsWith('metadata');
  const form = r.one([
    'in',
    'null',
    ...(isUnranged ? ['equal'] : ['compare', 'turned', 'between']),
    ...(isText ? ['like'] : []),
  ]);
  const tests = {
    '=': (n: number) => n === 0,
    '<>': (n: number) => n !== 0,
    '<': (n: number) => n < 0,
    '<=': (n: number) => n <= 0,
    '>': (n: number) => n > 0,
    '>=': (n: number) => n >= 0,
  };
  const op = isUnranged
    ? r.one(['=', '<>'] as const)
    : r.one(Object.keys(tests) as (keyof typeof tests)[]);
  switch (form) {
    case 'turned': {
      const turned = { '=': '=', '<>': '<>', '<': '>', '<=': '>=', '>': '<', '>=': '<=' }[op];
      return {
        sql: `${literal(value)} ${turned} ${sql}`,
        is: about('', (own) => tests[op](order(own, value))).is,
      };
    }
    case 'in': {
      const list = [value, r.one(values)];
      const isNot = r.chance(0.3);
      return about(
        `${isNot ? 'NOT ' : ''}IN (${list.map(literal).join(', ')})`,
        (own) => list.some((one) => order(own, one) === 0) !== isNot,
      );
    }
    case 'between': {
      const to = r.one(values);
      return about(
        `BETWEEN ${literal(value)} AND ${literal(to)}`,
        (own) => order(own, value) >= 0 && order(own, to) <= 0,
      );
    }
    case 'null': {
      const isNot = r.chance(0.5);
      return {
        sql: `${sql} IS ${isNot ? 'NOT ' : ''}NULL`,
        is: (document) => (get(document) === undefined) !== isNot,
      };
    }
    case 'like': {
      const letters = Array.from(String(value));
      const [pattern, regexp] = r.one([
        [
          `${letters.slice(0, 2).map(escaped).join('')}%`,
          new RegExp(`^${letters.slice(0, 2).map(quoted).join('')}.*$`, 'su'),
        ],
        [letters.map(escaped).join(''), new RegExp(`^${letters.map(quoted).join('')}$`, 'su')],
        [
          `${letters.slice(0, 1).map(escaped).join('')}_%`,
          new RegExp(`^${letters.slice(0, 1).map(quoted).join('')}..*$`, 'su'),
        ],
        ...(letters.length > 4
          ? [
              [
                `%${letters.slice(1, 4).map(escaped).join('')}%`,
                new RegExp(letters.slice(1, 4).map(quoted).join(''), 'su'),
              ] as [string, RegExp],
            ]
          : []),
      ] as [string, RegExp][]);
      if (isUnranged && !/^[^%_]*%?$/.test(pattern)) return someLeaf(r);
      const isNot = r.chance(0.3);
      return about(
        `${isNot ? 'NOT ' : ''}LIKE ${literal(pattern)}`,
        (own) => regexp.test(String(own)) !== isNot,
      );
    }
    default:
      return about(`${op} ${literal(value)}`, (own) => tests[op](order(own, value)));
  }
}
const escaped = (letter: string) => ('%_\\'.includes(letter) ? `\\${letter}` : letter);
const quoted = (letter: string) => letter.replace(/[.*+?^${}()|[\]\\]/, '\\$&');

function someCondition(r: Random, depth: number): Tested {
  if (depth === 0 || r.chance(0.35)) return someLeaf(r);
  const a = someCondition(r, depth - 1);
  if (r.chance(0.25))
    return {
      sql: `NOT (${a.sql})`,
      is: (document) => {
        const inner = a.is(document);
        return inner === undefined ? undefined : !inner;
      },
    };
  const b = someCondition(r, depth - 1);
  const isOr = r.chance(0.5);
  return {
    sql: `(${a.sql} ${isOr ? 'OR' : 'AND'} ${b.sql})`,
    is: (document) => {
      const parts = [a.is(document), b.is(document)];
      return parts.includes(isOr) ? isOr : parts.includes(undefined) ? undefined : !isOr;
    },
  };
}

describe('queries come to what a computation over the same documents comes to', () => {
  it('rows: 250 random conditions and orders', async () => {
    const r = createRandom(1);
    for (let round = 0; round < 250; round++) {
      const where = someCondition(r, 4);
      const by = r.one(fields);
      const isDown = r.chance(0.5);
      const nulls = r.one(['', 'first', 'last'] as const);
      const isNullFirst = nulls === '' ? isDown : nulls === 'first';
      const limit = 1 + r.below(60);
      const offset = r.below(10);
      const query = `SELECT id, ${by.sql} AS x FROM messages WHERE ${where.sql} ORDER BY ${r.one(['x', '2', by.sql])} ${isDown ? 'DESC' : 'ASC'}${nulls === '' ? '' : ` NULLS ${nulls}`}, id LIMIT ${limit} OFFSET ${offset}`;
      const expected = documents
        .filter((document) => where.is(document) === true)
        .map((document): [string, Cell] => [document.messageId, by.get(document) ?? null])
        .toSorted(([idA, a], [idB, b]) => {
          if (a === null || b === null)
            return a === b ? order(idA, idB) : (a === null) === isNullFirst ? -1 : 1;
          return (isDown ? order(b, a) : order(a, b)) || order(idA, idB);
        })
        .slice(offset, offset + limit);
      assert.deepEqual(await ask(query), expected, query);
    }
  });

  it('groups: 150 random keys, aggregates and HAVING', async () => {
    const r = createRandom(2);
    const day = (time: string | number | undefined) =>
      time === undefined ? undefined : `${String(time).slice(0, 13)}:00:00.000Z`;
    const keys: Field[] = [
      ...fields.filter(({ sql }) => !sql.includes('At')),
      { sql: "date_trunc('hour', acceptedAt)", get: (d) => day(d.acceptedAt), values: [] },
      {
        sql: "date_trunc('day', nextAttemptAt)",
        get: (d) => d.nextAttemptAt && `${d.nextAttemptAt.slice(0, 10)}T00:00:00.000Z`,
        values: [],
      },
    ];
    for (let round = 0; round < 150; round++) {
      const where = someCondition(r, 3);
      const by = [r.one(keys), ...(r.chance(0.5) ? [r.one(keys)] : [])].filter(
        (key, place, all) => all.indexOf(key) === place,
      );
      const least = r.below(4);
      const query = `SELECT ${by.map(({ sql }) => sql).join(', ')}, COUNT(*), count(batch), COUNT(DISTINCT template), SUM(attempts) AS s, AVG(attempts), MIN(acceptedAt), MAX(nextAttemptAt) FROM messages WHERE ${where.sql} GROUP BY ${by.map(({ sql }, place) => r.one([sql, String(place + 1)])).join(', ')} HAVING COUNT(*) > ${least} OR MIN(attempts) = 3 ORDER BY ${by.map((_, place) => place + 1).join(', ')}`;
      const groups = new Map<string, Snapshot[]>();
      for (const document of documents) {
        if (where.is(document) !== true) continue;
        const key = JSON.stringify(by.map(({ get }) => get(document) ?? null));
        groups.set(key, [...(groups.get(key) ?? []), document]);
      }
      const expected = [...groups]
        .map(([key, group]): Cell[] => {
          const attempts = group.map((document) => document.attempts);
          const sum = attempts.reduce((all, one) => all + one, 0);
          const next = group.flatMap((document) => document.nextAttemptAt ?? []).toSorted();
          return [
            ...(JSON.parse(key) as Cell[]),
            group.length,
            group.filter(({ batch }) => batch !== undefined).length,
            new Set(group.map(({ template }) => template)).size,
            sum,
            sum / group.length,
            group.map(({ acceptedAt }) => acceptedAt).toSorted()[0] ?? null,
            next.at(-1) ?? null,
            Math.min(...attempts),
          ];
        })
        .filter((row) => Number(row[by.length]) > least || row.at(-1) === 3)
        .map((row) => row.slice(0, -1))
        .toSorted((a, b) => {
          for (const place of by.keys()) {
            const [x = null, y = null] = [a[place], b[place]];
            if (x === y) continue;
            if (x === null || y === null) return x === null ? 1 : -1;
            return order(x, y);
          }
          return 0;
        });
      assert.deepEqual(await ask(query), expected, query);
    }
  });

  it('one group of everything, and of nothing', async () => {
    const sum = documents.reduce((all, { attempts }) => all + attempts, 0);
    assert.deepEqual(await ask('SELECT COUNT(*), SUM(attempts), MAX(attempts) FROM messages'), [
      [200, sum, 4],
    ]);
    assert.deepEqual(
      await ask("SELECT COUNT(*), SUM(attempts), AVG(attempts) FROM messages WHERE status = 'x'"),
      [[0, null, null]],
    );
    assert.deepEqual(
      await ask("SELECT COUNT(*) FROM messages WHERE status = 'x' HAVING COUNT(*) > 0"),
      [],
    );
    assert.deepEqual(
      await ask("SELECT status FROM messages WHERE status = 'x' GROUP BY status"),
      [],
    );
    assert.deepEqual(await ask('SELECT id FROM messages LIMIT 0'), []);
  });

  it('times: now and intervals, days, zones, cut to units', async () => {
    const since = (ms: number) =>
      documents.filter(({ acceptedAt }) => Date.parse(acceptedAt) >= ms).length;
    const count = async (condition: string) =>
      (await ask(`SELECT COUNT(*) FROM messages WHERE ${condition}`))[0]?.[0];
    assert.equal(
      await count("acceptedAt >= now() - interval '6 hours'"),
      since(nowMs - 6 * 3_600_000),
    );
    assert.equal(await count("acceptedAt >= '2026-11-13'"), since(nowMs - 86_400_000));
    assert.equal(await count("acceptedAt >= '2026-11-13 08:00:00'"), since(nowMs - 16 * 3_600_000));
    assert.equal(await count("acceptedAt >= '2026-11-13T08:00+08:00'"), since(nowMs - 86_400_000));
    const [document] = documents;
    assert.deepEqual(
      await ask(
        `SELECT date_trunc('minute', acceptedAt) FROM messages WHERE id = '${document?.messageId}'`,
      ),
      [[`${document?.acceptedAt.slice(0, 16)}:00.000Z`]],
    );
  });

  it('a recipient is found by the address and shown masked', async () => {
    const rows = await ask("SELECT recipient FROM messages WHERE recipient IN ('1393', '139no')");
    assert.equal(
      rows.length,
      documents.filter(({ recipientHash }) => recipientHash === 'hash of 1393').length,
    );
    assert.ok(rows.every(([shown]) => shown === '139****3'));
    assert.doesNotMatch(
      JSON.stringify(await ask('SELECT * FROM messages')),
      /hash of|recipientHash|ten_/,
    );
  });

  it('every column can be shown, and * is all of them', async () => {
    const answer = await runSelect(run, tenantId, read('SELECT * FROM messages LIMIT 1'));
    assert.deepEqual(
      answer.columns.map(({ name }) => name),
      columns.map(({ name }) => name),
    );
    assert.equal(answer.rows[0]?.length, columns.length);
  });
});

it('docs/operations.md prints every column and limit', () => {
  const page = readFileSync('docs/operations.md', 'utf8');
  for (const { name, type, says } of columns)
    assert.match(
      page,
      new RegExp(
        `\\| \`${name}\` +\\| ${type} +\\| [^|]+\\| ${says.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')} +\\|`,
      ),
      name,
    );
  for (const limit of [
    'characters',
    'rows',
    'reach',
    'groups',
    'conditions',
    'inValues',
    'depth',
    'seconds',
  ] as const)
    assert.match(page, new RegExp(`\\b${sqlLimits[limit].toLocaleString('en')}\\b`), limit);
});

describe('what must not be possible', () => {
  const refused = (query: string): string => {
    try {
      read(query);
    } catch (error) {
      assert.ok(
        error instanceof Problem && error.code === 'validation-failed',
        `${query}: ${String(error)}`,
      );
      assert.equal(error.options.errors?.[0]?.pointer, '/query');
      return error.options.errors?.[0]?.detail ?? '';
    }
    throw new Error(`not refused: ${query}`);
  };

  it('another tenant is in no answer, whatever is asked', async () => {
    const escapes = [
      'SELECT id FROM messages',
      "SELECT id FROM messages WHERE status = 'sent' OR NOT (status = 'sent')",
      'SELECT id FROM messages WHERE status IS NULL OR status IS NOT NULL',
      "SELECT id FROM messages WHERE NOT (status = 'x') OR batch IS NULL -- AND tenant = 1",
      "SELECT id FROM messages WHERE /* ) */ id LIKE '%'",
      ...theirs
        .slice(0, 3)
        .map(
          ({ messageId }) => `SELECT id FROM messages WHERE id = '${messageId}' OR status <> ''`,
        ),
    ];
    const own = new Set(documents.map(({ messageId }) => messageId));
    for (const query of escapes) {
      const rows = await ask(query);
      assert.equal(rows.length, 200, query);
      assert.ok(
        rows.every(([id]) => own.has(String(id))),
        query,
      );
    }
    assert.deepEqual(await ask('SELECT COUNT(*) FROM messages', 'ten_nobody'), [[0]]);
    for (const shape of [
      "tenantId = 'ten_other'",
      '"tenantId" IN (\'ten_other\')',
      "tenant_id LIKE 'ten%'",
      "messages.tenantId = 'ten_other'",
      "_index = 'x'",
      "metadata->>'../tenantId' = 'ten_other'",
      "metadata->>'*' = 'x'",
    ])
      refused(`SELECT id FROM messages WHERE ${shape}`);
    assert.deepEqual(
      await ask("SELECT id FROM messages WHERE metadata->>'tenantId' = 'ten_other'"),
      [],
    );
    refused('SELECT tenantId FROM messages');
    refused('SELECT id FROM other_messages');
    refused(`SELECT id FROM "${names.messageIndices}"`);
    refused('SELECT id FROM public.messages');
    refused('SELECT id FROM pg_catalog.messages');
  });

  it('nothing is written, and only one plain SELECT is taken', () => {
    const cases: [query: string, says: RegExp][] = [
      ["INSERT INTO messages (id) VALUES ('x')", /only SELECT.*Insert/],
      ["UPDATE messages SET status = 'sent'", /only SELECT.*Update/],
      ['DELETE FROM messages', /only SELECT.*Delete/],
      ['DROP TABLE messages', /only SELECT.*Drop/],
      ['TRUNCATE messages', /only SELECT/],
      ['EXPLAIN SELECT id FROM messages', /only SELECT/],
      ['SELECT id INTO other FROM messages', /INTO/],
      ['SELECT id FROM messages FOR UPDATE', /FOR UPDATE/],
      ['SELECT id FROM messages; DELETE FROM messages', /more than one statement/],
      ['SELECT id FROM messages; SELECT id FROM messages', /at character 26: is more than one/],
      ['WITH x AS (SELECT id FROM messages) SELECT id FROM x', /WITH/],
      ['WITH x AS (DELETE FROM messages RETURNING id) SELECT id FROM messages', /WITH/],
      ['SELECT id FROM messages UNION SELECT id FROM messages', /UNION/],
      ['SELECT id FROM messages JOIN messages b ON true', /joins/],
      ['SELECT id FROM messages, messages b', /at character 26: only one table/],
      ['SELECT id FROM (SELECT id FROM messages) x', /subqueries/],
      ['SELECT id FROM messages WHERE id IN (SELECT id FROM messages)', /subqueries/],
      ['SELECT (SELECT 1) FROM messages', /subqueries/],
      ['SELECT id FROM messages WHERE EXISTS (SELECT 1)', /subqueries/],
      ['SELECT DISTINCT id FROM messages', /GROUP BY/],
      ['SELECT 1', /FROM messages is missing/],
      ['VALUES (1)', /VALUES/],
      ['SELECT id FROM ONLY messages', /the one table/],
      ['SELECT id FROM messages AS m', /alias/],
      ['SELECT id FROM messages TABLESAMPLE SYSTEM (1)', /FROM takes/],
      ['SELECT pg_sleep(10) FROM messages', /at character 8: there is no function pg_sleep/],
      ['SELECT count(*) OVER () FROM messages', /over/],
      ['SELECT count(*) FILTER (WHERE true) FROM messages', /filter/i],
      ['SELECT id || status FROM messages', /"\|\|" is not supported/],
      ['SELECT CASE WHEN true THEN id END FROM messages', /column or an aggregate/],
      ['SELECT status, count(*) FROM messages GROUP BY ROLLUP (status)', /./],
      ['', /empty/],
      ['-- nothing', /empty/],
      ['SELECT id FROM messages\0; DROP TABLE messages', /at character 24: there may be no null/],
      ['SELECT id FROM messages WHERE', /at character 30: syntax error/],
      ['SELECT id FROM messages WHERE status = = 1', /at character 40: syntax error/],
    ];
    for (const [query, says] of cases)
      if (query !== 'TABLE messages') assert.match(refused(query), says, query);
  });

  it('conditions that are none, columns that are not there, values of another type', () => {
    const cases: [condition: string, says: RegExp][] = [
      ["status = 'sent' OR 1=1", /at character 51: a condition must compare/],
      ['true', /a condition must compare/],
      ["status = 'sent' OR true", /a condition must compare/],
      ['status', /a condition must compare/],
      ["colour = 'red'", /at character 31: there is no column "colour"/],
      ["日本 = 'é' AND colour = 'red'", /at character 31: there is no column "日本"/],
      ["status = 'é' AND colour = 'red'", /at character 48: there is no column "colour"/],
      ['status = NULL', /IS NULL/],
      ['status = 1', /text in single quotes/],
      ["attempts = '1'", /is a number/],
      ['attempts = 99999999999', /beyond any attempts/],
      ["acceptedAt > 'yesterday'", /is a time/],
      ["acceptedAt > '2026-13-01'", /is a time/],
      ["acceptedAt > now() - interval '1 fortnight'", /an interval is/],
      ["acceptedAt > now() - interval '1 hour' * 2", /is a time|not supported|an interval/],
      ["recipient = '186'", /recipient is no address/],
      ["recipient LIKE '139%'", /only be compared by/],
      ["reasonDetail = 'x'", /only be shown/],
      ['status = channel', /text in single quotes/],
      ["lower(status) = 'x'", /no function lower/],
      ["status ~ 'x'", /"~" is not supported/],
      ["status ILIKE 'x'", /not supported/],
      ["status SIMILAR TO 'x'", /not supported/],
      ["status = ANY (ARRAY['x'])", /not supported/],
      ["(status, channel) = ('a', 'b')", /./],
      ['COUNT(*) > 1', /HAVING/],
      ["metadata = 'x'", /metadata is read by key/],
      ["metadata->>'a' LIKE '%long'", /found by a beginning alone/],
      ["metadata->>'a' > 'x'", /cannot be compared by less and more/],
      ['attempts BETWEEN SYMMETRIC 1 AND 2', /not supported/],
      ["status LIKE 'a' ESCAPE '!'", /single quotes/],
    ];
    for (const [condition, says] of cases)
      assert.match(refused(`SELECT id FROM messages WHERE ${condition}`), says, condition);
    assert.match(
      refused('SELECT status, COUNT(*) FROM messages'),
      /at character 8: status must be in GROUP BY/,
    );
    assert.match(refused('SELECT * FROM messages GROUP BY status'), /must be in GROUP BY/);
    assert.match(
      refused("SELECT count(*) FROM messages GROUP BY status HAVING channel = 'x'"),
      /HAVING: channel/,
    );
    assert.match(refused('SELECT SUM(status) FROM messages'), /is a text/);
    assert.match(refused('SELECT id FROM messages ORDER BY recipient'), /only be compared/);
    assert.match(refused('SELECT id FROM messages ORDER BY 2'), /has 1 columns/);
  });

  it('what would cost too much', async () => {
    const where = (condition: string) => `SELECT id FROM messages WHERE ${condition}`;
    const list = (count: number) =>
      Array.from({ length: count }, (_, serial) => `'${serial.toString(36)}'`).join(',');
    assert.match(refused(where(`id IN (${list(501)})`)), /IN has 501 values/);
    assert.match(
      refused(where(Array.from({ length: 3 }, () => `id IN (${list(400)})`).join(' OR '))),
      /more than 100 conditions/,
    );
    assert.match(
      refused(where(Array.from({ length: 101 }, () => "id = 'x'").join(' OR '))),
      /more than 100 conditions/,
    );
    let deep = "id = 'x'";
    for (let depth = 0; depth < 40; depth++)
      deep = depth % 2 === 0 ? `NOT (${deep} AND id = 'y')` : `(${deep} OR id = 'z')`;
    assert.match(refused(where(deep)), /nested more than 16 deep/);
    assert.match(refused(where(`${'NOT '.repeat(1900)}id = 'x'`)), /nested more than/);
    assert.equal(
      read(where(`${'('.repeat(3900)}id = 'x'${')'.repeat(3900)}`)).limit,
      sqlLimits.rows,
    );
    assert.match(refused(where(`id = '${'x'.repeat(sqlLimits.characters)}'`)), /8000/);
    assert.match(refused(where("id LIKE '%a%b%c%'")), /may have 3 %/);
    assert.match(refused(where("id LIKE '%a%'")), /needs 3 known characters/);
    assert.match(refused(where(`id LIKE '${'_'.repeat(20)}'`)), /needs 3 known characters/);
    assert.match(refused(where(`id LIKE '${'x'.repeat(200)}%'`)), /128 characters/);
    assert.match(refused('SELECT id FROM messages LIMIT 1001'), /1001 is more than 1000/);
    assert.match(
      refused('SELECT id FROM messages LIMIT 10 OFFSET 10000'),
      /10010 is more than 10000/,
    );
    assert.match(refused('SELECT id FROM messages LIMIT ALL'), /whole number/);
    assert.match(
      refused(`SELECT ${list(0)}${Array.from({ length: 51 }, () => 'id').join()} FROM messages`),
      /51 is more than 50/,
    );
    assert.match(refused(where(`id LIKE '%abc%${'_'.repeat(9)}'`)), /may have 8 _/);
    assert.deepEqual(await ask(where(`id LIKE '%aaa________%a%'`)), []);
    assert.deepEqual(await ask(where(`id LIKE 'a${'_'.repeat(120)}'`)), []);
    // Bigger than every bound that a text could still keep: the widest list together with the deepest nesting.
    assert.deepEqual(await ask(where(`id IN (${list(490)})`)), []);
  });

  it('more groups than are answered are refused, not cut off', async () => {
    const many = Array.from({ length: 1001 }, () => sampleSnapshot({ tenantId: 'ten_many' }));
    await index.writeEvents(many);
    await client.indices.refresh({ index: names.messageIndices });
    await assert.rejects(
      ask('SELECT id, COUNT(*) FROM messages GROUP BY id', 'ten_many'),
      /more than 1000 groups/,
    );
    const last = many.at(-1)?.messageId ?? '';
    assert.equal(
      (await ask(`SELECT id, COUNT(*) FROM messages WHERE id <> '${last}' GROUP BY id`, 'ten_many'))
        .length,
      1000,
    );
  });

  it('a search that takes too long is ended', async () => {
    let asked: string | undefined;
    let isGone = false;
    // Stands in for an index that is too slow: it says so once, then says nothing at all.
    const server = createServer((request, response) => {
      request.resume();
      response.on('close', () => (isGone = true));
      if (asked !== undefined) return;
      asked = request.url;
      response.setHeader('x-elastic-product', 'Elasticsearch');
      response.setHeader('content-type', 'application/vnd.elasticsearch+json;compatible-with=8');
      response.end(JSON.stringify({ timed_out: true, _shards: { failed: 0 }, hits: { hits: [] } }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const slow = createElasticsearch({
      url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    });
    const select = read('SELECT id FROM messages');
    const deps = { client: slow, index: 'x', seconds: 1 };
    try {
      await assert.rejects(
        runSelect(deps, tenantId, select),
        (error: Problem) => error.code === 'query-too-slow',
      );
      assert.ok(asked?.startsWith('/x/_search'));
      isGone = false;
      const startedAt = Date.now();
      await assert.rejects(
        runSelect(deps, tenantId, select),
        (error: Problem) => error.code === 'search-unavailable',
      );
      assert.ok(Date.now() - startedAt < 6000);
      await until('the call is aborted', () => isGone || undefined, { timeoutMs: 2000 });
    } finally {
      await slow.close();
      server.closeAllConnections();
      server.close();
    }
  });
});
