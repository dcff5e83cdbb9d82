import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { KnownEndpoint } from '../../store/index.ts';
import { brokenAfter, createEndpointLanes, mostAtOnce, type Lane } from './endpoint-lanes.ts';

const lanes = createEndpointLanes({ allowPrivate: true, timeoutMs: 1000 });
after(() => lanes.close());
const known = (id: string, url = 'https://shop.example/hooks'): KnownEndpoint => ({
  endpoint: {
    id,
    tenantId: 'shop',
    url,
    statuses: ['sent'],
    isEnabled: true,
    version: 1,
    createdAt: '2026-11-21T00:00:00.000Z',
    updatedAt: '2026-11-21T00:00:00.000Z',
  },
  isDeleted: false,
  secrets: () => [],
});
const failed = { isDelivered: false };
const delivered = { isDelivered: true };
const enter = (lane: Lane, nowMs: number) => {
  const place = lane.enter(nowMs);
  assert.ok(place !== undefined);
  return place;
};

test('so many calls at a time, and a place that is given back is free', () => {
  const lane = lanes.of(known('bounded'));
  const places = Array.from({ length: mostAtOnce }, () => enter(lane, 0));
  assert.equal(lane.enter(0), undefined);
  places[0]?.release();
  assert.ok(lane.enter(0) !== undefined);
});

test('after failures in a row one call at a time looks, later and later; a success lets all go on', () => {
  const lane = lanes.of(known('broken'));
  for (let count = 0; count < brokenAfter; count += 1) enter(lane, 0).end(failed, 0);
  const waits: number[] = [];
  for (let nowMs = lane.openAtMs; waits.length < 7; nowMs = lane.openAtMs) {
    assert.equal(lane.enter(nowMs - 1), undefined);
    const look = enter(lane, nowMs);
    assert.equal(lane.enter(nowMs), undefined);
    assert.equal(look.end(failed, nowMs), false);
    waits.push(lane.openAtMs - nowMs);
  }
  assert.deepEqual(waits, [2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(enter(lane, lane.openAtMs).end(delivered, lane.openAtMs), true);
  assert.equal(enter(lane, 0).end(delivered, 0), false, 'it was working already');
});

test('calls that fail together are no looks: the first pause is short', () => {
  const lane = lanes.of(known('blip'));
  const places = Array.from({ length: mostAtOnce }, () => enter(lane, 0));
  for (const place of places) place.end(failed, 0);
  assert.equal(lane.openAtMs, 1000);
});

test('who asks to be left alone is, and another origin is another lane', () => {
  const lane = lanes.of(known('throttled'));
  enter(lane, 0).end({ isDelivered: false, retryAfterMs: 60_000 }, 0);
  assert.equal(lane.enter(59_999), undefined);
  assert.ok(lane.enter(60_000) !== undefined);
  assert.equal(lanes.of(known('throttled')), lane);
  assert.notEqual(lanes.of(known('throttled', 'https://new.example/')), lane);
  const other = lanes.of(known('other'));
  lanes.keepOnly((id) => id !== 'other');
  assert.notEqual(lanes.of(known('other')), other);
});
