import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { createMessageIds, messageIdTimeMs } from './message-id.ts';
import { createPayloadCodec } from './payload-codec.ts';
import { createSealer, hashEntry } from './seal.ts';

const key = (name: string) => `${name}:${randomBytes(32).toString('base64')}`;

describe('sealing', () => {
  const first = key('first');
  const second = key('second');
  const sealer = createSealer([first]);

  it('opens what it sealed, byte for byte, and two seals of one text differ', () => {
    const text = '中文 👩‍👩‍👧‍👦 \u0000 עברית';
    const sealed = sealer.seal(text, 'a');
    assert.equal(sealer.open(sealed, 'a').toString('utf8'), text);
    assert.notEqual(sealed, sealer.seal(text, 'a'));
    assert.ok(!sealed.includes('中'));
  });

  it('opens neither in another context, nor changed, nor under an unknown key', () => {
    const sealed = sealer.seal('secret', 'a');
    assert.throws(() => sealer.open(sealed, 'b'));
    assert.throws(() => sealer.open(`${sealed.slice(0, -2)}AA`, 'a'));
    assert.throws(() => createSealer([second]).open(sealed, 'a'), /first/);
    assert.throws(() => sealer.open('nonsense', 'a'));
  });

  it('after rotation old values open, new ones use the new key, hashes and ids stay', () => {
    const rotated = createSealer([second, first]);
    assert.equal(rotated.open(sealer.seal('old', 'a'), 'a').toString(), 'old');
    assert.match(rotated.seal('new', 'a'), /^v1\.second\./);
    assert.equal(rotated.hash('13900000000', 't'), sealer.hash('13900000000', 't'));
    const id = createMessageIds(sealer).create('t');
    assert.equal(createMessageIds(rotated).isGenuine(id, 't'), true);
  });

  it('an envelope moves to the newest key with its content as it is; a direct seal becomes one', () => {
    const sealed = sealer.sealEnvelope('secret', 'a');
    assert.match(sealed, /^v2\.first\./);
    assert.equal(sealer.open(sealed, 'a').toString(), 'secret');
    assert.throws(() => sealer.open(sealed, 'b'));
    const both = createSealer([second, first]);
    for (const old of [sealed, sealer.seal('secret', 'a')]) {
      const moved = both.reseal(old, 'a', 'envelope');
      assert.ok(moved.startsWith(both.newestPrefix('envelope')), moved);
      assert.equal(createSealer([second]).open(moved, 'a').toString(), 'secret');
      assert.throws(() => both.reseal(old, 'b', 'envelope'));
    }
    const moved = both.reseal(sealed, 'a', 'envelope');
    assert.equal(moved.split('.')[3], sealed.split('.')[3]);
    const direct = both.reseal(sealer.seal('secret', 'a'), 'a', 'direct');
    assert.match(direct, /^v1\.second\./);
    assert.equal(createSealer([second]).open(direct, 'a').toString(), 'secret');
  });

  it('hashes and ids stay when the old key leaves its hash key behind, which opens nothing', () => {
    const entry = hashEntry([second, first]);
    assert.match(entry, /^first-hash:/);
    const id = createMessageIds(sealer).create('t');
    for (const ring of [
      [first, second, entry],
      [second, first, entry],
      [second, entry],
    ]) {
      const left = createSealer(ring);
      assert.equal(left.hash('13900000000', 't'), sealer.hash('13900000000', 't'));
      assert.equal(createMessageIds(left).isGenuine(id, 't'), true);
      assert.equal(hashEntry(ring), entry);
    }
    const without = createSealer([second, entry]);
    assert.deepEqual(without.keyNames, ['second']);
    assert.throws(() => without.open(sealer.seal('x', 'a'), 'a'), /first/);
    assert.throws(() => createSealer([entry]), /MC_MASTER_KEYS/);
  });

  it('refuses a keyring that is empty, ambiguous, or holds a short key', () => {
    assert.throws(() => createSealer([]), /MC_MASTER_KEYS/);
    assert.throws(() => createSealer(['a:AAAA']), /32 bytes/);
    assert.throws(() => createSealer([first, key('first')]), /one name/);
    assert.throws(() => createSealer([first, hashEntry([first]), hashEntry([second])]), /two hash/);
  });
});

describe('message ids', () => {
  const ids = createMessageIds(createSealer([key('k')]));

  it('are genuine for their tenant only, and a made-up one is not', () => {
    const id = ids.create('one');
    assert.match(id, /^msg_[0-9a-z]{26}$/);
    assert.equal(ids.isGenuine(id, 'one'), true);
    assert.equal(ids.isGenuine(id, 'two'), false);
    for (const made of [
      '',
      'msg_',
      `msg_${'0'.repeat(26)}`,
      id.toUpperCase(),
      `${id}0`,
      id.replace(/.$/, (c) => (c === '0' ? '4' : '0')),
    ])
      assert.equal(ids.isGenuine(made, 'one'), false, made);
  });

  it('tell their time when new, and none when derived', () => {
    const nowMs = 1_763_700_000_123;
    assert.equal(messageIdTimeMs(ids.create('one', nowMs)), nowMs);
    assert.equal(messageIdTimeMs(ids.derive('one', 'key')), undefined);
  });

  it('derived ones are the same for the same tenant, key and place, and differ otherwise', () => {
    assert.equal(ids.derive('one', 'key', 3), ids.derive('one', 'key', 3));
    const others = [
      ids.derive('one', 'key'),
      ids.derive('one', 'key', 3),
      ids.derive('one', 'key', 4),
      ids.derive('two', 'key', 3),
      ids.derive('one', 'key2', 3),
    ];
    assert.equal(new Set(others).size, others.length);
    for (const id of others.slice(0, 3)) assert.equal(ids.isGenuine(id, 'one'), true);
  });

  it('a hundred thousand new ones in one millisecond are different', () => {
    const many = new Set(Array.from({ length: 100_000 }, () => ids.create('one', 1)));
    assert.equal(many.size, 100_000);
  });
});

describe('payload codec', () => {
  it('hides payloads, opens them again, and leaves foreign ones alone', async () => {
    const codec = createPayloadCodec(createSealer([key('k')]));
    const payload = {
      metadata: { encoding: Buffer.from('json/plain') },
      data: Buffer.from('"13900000000"'),
    };
    const [hidden] = await codec.encode([payload]);
    assert.ok(!Buffer.from(hidden?.data ?? []).includes('139'));
    const [opened] = await codec.decode([hidden ?? payload]);
    assert.equal(Buffer.from(opened?.data ?? []).toString(), '"13900000000"');
    assert.deepEqual(await codec.decode([payload]), [payload]);
  });
});
