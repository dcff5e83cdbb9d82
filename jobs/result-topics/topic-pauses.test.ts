import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopicPauses } from './topic-pauses.ts';

test('a topic that takes nothing is left alone, longer each time, and no other with it', () => {
  let nowMs = 0;
  const pauses = createTopicPauses(() => nowMs);
  const waited: number[] = [];
  for (let time = 0; time < 7; time += 1) {
    waited.push(pauses.failed('slow'));
    assert.equal(pauses.failed('slow'), waited.at(-1), 'what fails with it is the same failure');
    assert.equal(pauses.waitMs('other'), 0);
    nowMs += pauses.waitMs('slow');
  }
  assert.deepEqual(waited, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  pauses.worked('slow');
  assert.equal(pauses.failed('slow'), 1000);
});
