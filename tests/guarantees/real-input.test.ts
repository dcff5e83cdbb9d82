/**
 * Real texts, byte for byte: every sixth of the 5,574 messages of the SMS Spam Collection (tests/data/README.md), or with
 * MC_ALL_TEXTS=true all of them, and texts that break careless code. What the provider forbids ends as content-rejected; everything else is on the phone as it was asked.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { smsUnits } from '../../channels/sms-aliyun/simulator-settings.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  sandbox: { smsAliyun: { settings: { receiptsPaused: true } } },
});

const sign = '【消息中心】';
const step = process.env['MC_ALL_TEXTS'] === 'true' ? 1 : 6;
const collection = readFileSync(new URL('../data/sms-messages.tsv', import.meta.url), 'utf8')
  .split('\n')
  .slice(1)
  .filter((line) => line !== '')
  .map((line) => line.slice(line.indexOf('\t') + 1));
const collected = collection.filter((_, index) => index % step === 0);
const hard = [
  '您的订单已发货，快递单号 SF1234567890，请注意查收。',
  '👩‍👩‍👧‍👦 family, 🇨🇳 flag, 👍🏽 skin, e\u0301 combining, \u{1F9D1}\u200D\u{1F680} astronaut',
  'مرحبا بك في مركز الرسائل، رمزك هو ١٢٣٤',
  'שלום, הקוד שלך הוא 4711 \u202Eabc\u202C',
  '{{code}} {% raw %} ${text} {"json": "\\"quoted\\""} \\u4e2d <b>&amp;</b>',
  '长'.repeat(70 - sign.length),
  '长'.repeat(71 - sign.length),
  '长'.repeat(134 - sign.length),
  '长'.repeat(135 - sign.length),
  '字'.repeat(500 - sign.length),
  '字'.repeat(501 - sign.length),
  'tab\tinside and  two  spaces, trailing ',
  '\u0000 nul and \u001f control',
  '𠮷野家 \ud842\udfb7 rare ideograph; ﷽ one long character',
  '100% & + = ? # / %E4%BD%A0 a+b',
];
const texts = [...collected, ...hard];

/** What the provider surely refuses: a link with its scheme or www., or more than 500 characters with the signature. */
const isForbidden = (text: string) => /https?:\/\/|www\./i.test(text) || (sign + text).length > 500;
/** What it may refuse: anything with a dot between letters could be the address of a site. */
const mayBeForbidden = (text: string) => isForbidden(text) || /[a-z0-9]\.[a-z]{2}/i.test(text);

describe('real input', () => {
  const sms = system.sandbox.smsAliyun;
  const ids: string[] = [];

  it(`${collected.length} real messages and the hard ones are accepted`, async () => {
    assert.equal(collection.length, 5574);
    for (let start = 0; start < texts.length; start += 500) {
      const messages = texts.slice(start, start + 500).map((text, offset) => ({
        // Six messages a number: within what the provider allows a number a day.
        to: { phone: `139${String((start + offset) % 1000).padStart(8, '0')}` },
        template: 'plain-notice',
        variables: { text },
      }));
      const { body } = await system.call(
        'POST',
        '/v1/messages/batch',
        { messages },
        { 'Idempotency-Key': `real-${start}` },
      );
      assert.equal(body['accepted'], messages.length, JSON.stringify(body).slice(0, 500));
      ids.push(...(body['results'] as { id: string }[]).map((result) => result.id));
    }
    assert.equal(new Set(ids).size, texts.length);
  });

  it('each reaches its end: on the phone byte for byte, or content-rejected', async (t) => {
    const startedAt = Date.now();
    const count = async (status: string) =>
      (
        (await system.call('GET', `/v1/messages?status=${status}&limit=1`)).body['total'] as {
          value: number;
        }
      ).value;
    let seen = { sent: 0, failed: 0 };
    await until(
      'all have ended',
      async () => {
        seen = { sent: await count('sent'), failed: await count('failed') };
        return seen.sent + seen.failed >= texts.length ? true : undefined;
      },
      { timeoutMs: 600_000, everyMs: 1000, seen: () => seen },
    );
    const seconds = (Date.now() - startedAt) / 1000;

    const onPhone = new Map(
      sms.device
        .find({ limit: texts.length * 2 })
        .entries.map((entry) => [entry.outId.split('.')[0] ?? '', entry.text]),
    );
    assert.deepEqual(sms.device.repeated('outId'), []);
    const different: unknown[] = [];
    let refused = 0;
    for (const [index, text] of texts.entries()) {
      const id = ids[index] ?? '';
      const shown = onPhone.get(id);
      if (shown === undefined) refused++;
      const isRight =
        shown === undefined
          ? mayBeForbidden(text)
          : !isForbidden(text) && Buffer.from(shown).equals(Buffer.from(sign + text));
      if (!isRight) different.push({ text, shown });
    }
    assert.deepEqual(different.slice(0, 10), []);
    assert.equal(seen.failed, refused);
    const rejected = (await system.call('GET', '/v1/messages?reason=content-rejected&limit=1'))
      .body['total'] as { value: number };
    assert.equal(rejected.value, refused);
    t.diagnostic(
      `${seen.sent} sent, ${refused} content-rejected, in ${seconds.toFixed(0)} s (${(texts.length / seconds).toFixed(0)}/s, servers, services and test on this machine)`,
    );
  });

  it('a text over 70 characters is counted in parts of 67, as the provider bills it', () => {
    const unitsOf = (index: number) => {
      const entry = sms.accepted.find({
        where: {
          outId:
            sms.device
              .find({ limit: texts.length * 2 })
              .entries.find((each) => each.outId.startsWith(ids[index] ?? '?'))?.outId ?? '',
        },
      }).entries[0];
      return entry === undefined ? undefined : smsUnits(entry.text);
    };
    const first = collected.length + 5;
    assert.deepEqual(
      [0, 1, 2, 3].map((offset) => unitsOf(first + offset)),
      [1, 2, 2, 3],
    );
  });
});
