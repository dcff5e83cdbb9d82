import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DateTime } from 'luxon';
import { quietUntil } from './quiet-hours.ts';

const night = { from: '22:00', to: '08:00' };
/** The end of quiet hours for a clock that shows `now`, as ISO time with offset. */
const end = (hours: { from: string; to: string }, zone: string, now: string) => {
  const until = quietUntil(hours, zone, DateTime.fromISO(now, { zone }).toMillis());
  return until === undefined
    ? undefined
    : DateTime.fromMillis(until, { zone }).toISO({ suppressMilliseconds: true });
};

describe('quiet hours', () => {
  it('over midnight: held until the morning, before and after midnight', () => {
    const zone = 'Asia/Shanghai';
    assert.equal(end(night, zone, '2026-11-21T21:59:59.999'), undefined);
    assert.equal(end(night, zone, '2026-11-21T22:00'), '2026-11-22T08:00:00+08:00');
    assert.equal(end(night, zone, '2026-11-21T23:30:15.250'), '2026-11-22T08:00:00+08:00');
    assert.equal(end(night, zone, '2026-11-22T00:00'), '2026-11-22T08:00:00+08:00');
    assert.equal(end(night, zone, '2026-11-22T07:59:59.999'), '2026-11-22T08:00:00+08:00');
    assert.equal(end(night, zone, '2026-11-22T08:00'), undefined);
  });
  it('within a day', () => {
    const noon = { from: '12:00', to: '14:30' };
    const zone = 'Asia/Shanghai';
    assert.equal(end(noon, zone, '2026-11-21T11:59'), undefined);
    assert.equal(end(noon, zone, '2026-11-21T12:00'), '2026-11-21T14:30:00+08:00');
    assert.equal(end(noon, zone, '2026-11-21T14:30'), undefined);
    assert.equal(end(noon, zone, '2026-11-21T00:10'), undefined);
  });
  it('to and from midnight', () => {
    const zone = 'Asia/Shanghai';
    const evening = { from: '20:00', to: '00:00' };
    assert.equal(end(evening, zone, '2026-11-21T23:59'), '2026-11-22T00:00:00+08:00');
    assert.equal(end(evening, zone, '2026-11-22T00:00'), undefined);
    const early = { from: '00:00', to: '06:00' };
    assert.equal(end(early, zone, '2026-11-22T00:00'), '2026-11-22T06:00:00+08:00');
    assert.equal(end(early, zone, '2026-11-21T23:59'), undefined);
  });
  it('are those of the zone: half hours, quarters, both sides of the date line', () => {
    const now = Date.UTC(2026, 10, 21, 18, 0);
    const inZone = (zone: string) => {
      const until = quietUntil(night, zone, now);
      return until === undefined ? undefined : new Date(until).toISOString();
    };
    assert.equal(inZone('Asia/Kolkata'), '2026-11-22T02:30:00.000Z');
    assert.equal(inZone('Asia/Kathmandu'), '2026-11-22T02:15:00.000Z');
    assert.equal(inZone('Pacific/Kiritimati'), undefined);
    assert.equal(inZone('Pacific/Pago_Pago'), '2026-11-21T19:00:00.000Z');
    assert.equal(inZone('UTC'), undefined);
  });

  describe('while clocks are set forward', () => {
    it('end by the clock: the night is an hour shorter', () => {
      const zone = 'America/New_York';
      assert.equal(end(night, zone, '2027-03-13T23:00'), '2027-03-14T08:00:00-04:00');
      assert.equal(end(night, zone, '2027-03-14T01:59'), '2027-03-14T08:00:00-04:00');
      assert.equal(end(night, zone, '2027-03-14T03:00'), '2027-03-14T08:00:00-04:00');
    });
    it('end as they are set, where the end is left out', () => {
      const zone = 'America/New_York';
      const hours = { from: '22:00', to: '02:30' };
      assert.equal(end(hours, zone, '2027-03-13T23:00'), '2027-03-14T03:00:00-04:00');
      assert.equal(end(hours, zone, '2027-03-14T01:59:59.999'), '2027-03-14T03:00:00-04:00');
      assert.equal(end(hours, zone, '2027-03-14T03:00'), undefined);
      assert.equal(
        end({ from: '22:00', to: '02:00' }, zone, '2027-03-14T01:30'),
        '2027-03-14T03:00:00-04:00',
      );
      assert.equal(
        end({ from: '22:00', to: '03:00' }, zone, '2027-03-14T01:30'),
        '2027-03-14T03:00:00-04:00',
      );
    });
    it('begin as they are set, where the beginning is left out', () => {
      const hours = { from: '02:30', to: '06:00' };
      assert.equal(end(hours, 'Europe/Berlin', '2027-03-28T01:59'), undefined);
      assert.equal(end(hours, 'Europe/Berlin', '2027-03-28T03:00'), '2027-03-28T06:00:00+02:00');
    });
    it('by half an hour, and at midnight', () => {
      const late = { from: '22:00', to: '02:15' };
      assert.equal(
        end(late, 'Australia/Lord_Howe', '2026-10-04T01:00'),
        '2026-10-04T02:30:00+11:00',
      );
      const midnight = { from: '20:00', to: '00:30' };
      assert.equal(end(midnight, 'Africa/Cairo', '2027-04-29T23:00'), '2027-04-30T01:00:00+03:00');
    });
  });

  describe('while clocks are set back', () => {
    const zone = 'America/New_York';
    it('end by the clock: the night is an hour longer', () => {
      assert.equal(end(night, zone, '2026-10-31T23:00'), '2026-11-01T08:00:00-05:00');
      assert.equal(end(night, zone, '2026-11-01T06:00'), '2026-11-01T08:00:00-05:00');
    });
    it('end at the first time, where the end comes twice', () => {
      const hours = { from: '22:00', to: '01:30' };
      assert.equal(end(hours, zone, '2026-10-31T23:00'), '2026-11-01T01:30:00-04:00');
      assert.equal(
        end({ from: '22:00', to: '02:00' }, zone, '2026-11-01T00:30'),
        '2026-11-01T02:00:00-05:00',
      );
    });
  });

  it('end, on the days around every change, at the first moment at which the clock has reached it', () => {
    const windows = [night, { from: '01:30', to: '02:30' }, { from: '23:00', to: '00:15' }];
    const changes: [zone: string, day: string][] = [
      ['America/New_York', '2026-11-01'],
      ['America/New_York', '2027-03-14'],
      ['Australia/Lord_Howe', '2026-10-04'],
      ['Australia/Lord_Howe', '2027-04-04'],
      ['Africa/Cairo', '2026-10-29'],
      ['Africa/Cairo', '2027-04-30'],
      ['Asia/Shanghai', '2026-11-21'],
    ];
    const minuteOf = (clock: string) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
    for (const [zone, day] of changes)
      for (const hours of windows) {
        const [from, to] = [minuteOf(hours.from), minuteOf(hours.to)];
        const lengthMinutes = (to - from + 1440) % 1440;
        const startMs = DateTime.fromISO(day, { zone }).toMillis() - 30 * 3_600_000;
        const clock = (ms: number) => {
          const { hour, minute } = DateTime.fromMillis(ms, { zone });
          return hour * 60 + minute;
        };
        let quiet = 0;
        for (let atMs = startMs; atMs < startMs + 72 * 3_600_000; atMs += 7 * 60_000) {
          const where = `${zone} ${new Date(atMs).toISOString()}`;
          const isQuiet = (clock(atMs) - from + 1440) % 1440 < lengthMinutes;
          const until = quietUntil(hours, zone, atMs);
          assert.equal(until !== undefined, isQuiet, where);
          if (until === undefined) continue;
          quiet += 1;
          assert.ok(until > atMs && until - atMs <= (lengthMinutes + 60) * 60_000, where);
          // The clock shows the end now and did not before, or it was set over it.
          const past = (clock(until) - to + 1440) % 1440;
          const before = (to - clock(until - 1) + 1440) % 1440;
          assert.ok(past === 0 || (past <= 60 && before <= 60 && before > 0), where);
        }
        assert.ok(quiet > 10);
      }
  });
});
