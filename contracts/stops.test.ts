import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { verdictOf, type Stop, type StopScope } from './stops.ts';

const message = {
  tenantId: 'shop',
  template: 'offer',
  batch: 'spring',
  accountId: 'acc_1',
  recipientHash: 'h',
  acceptedAt: '2027-03-01T10:00:00.000Z',
};
const stop = (action: Stop['action'], scope: StopScope, more: Partial<Stop> = {}): Stop => ({
  id: 'stp_1',
  action,
  scope,
  tenantId: 'shop',
  ...(action === 'recall' && { acceptedBefore: '2027-03-01T10:00:00.000Z' }),
  reason: 'wrong price',
  createdAt: '2027-03-01T10:00:00.000Z',
  revision: 1,
  ...more,
});
const verdict = (...stops: Stop[]) => verdictOf(stops, message).verdict;

describe('the verdict of stops', () => {
  it('covers a message by each of its scopes, and by no other', () => {
    for (const scope of [
      { kind: 'batch', value: 'spring' },
      { kind: 'template', value: 'offer' },
      { kind: 'tenant', value: 'shop' },
      { kind: 'account', value: 'acc_1' },
    ] as const) {
      assert.equal(verdict(stop('recall', scope)), 'recalled');
      assert.equal(verdict(stop('pause', scope)), 'paused');
      assert.equal(verdict(stop('recall', { ...scope, value: 'another' })), 'go');
    }
    assert.equal(verdict(stop('pause', { kind: 'batch', value: 'offer' })), 'go');
    assert.equal(verdict(), 'go');
  });

  it('knows batches and templates as names within a tenant', () => {
    for (const kind of ['batch', 'template'] as const)
      for (const value of ['spring', 'offer'])
        assert.equal(verdict(stop('pause', { kind, value }, { tenantId: 'other' })), 'go');
    const { batch: _none, ...single } = message;
    assert.equal(
      verdictOf([stop('pause', { kind: 'batch', value: 'spring' })], single).verdict,
      'go',
    );
  });

  it('recalls what was accepted up to the recall, not what came after; pauses all', () => {
    const scope = { kind: 'batch', value: 'spring' } as const;
    const before = { acceptedBefore: '2027-03-01T09:59:59.999Z' };
    assert.equal(verdict(stop('recall', scope, before)), 'go');
    assert.equal(verdict(stop('recall', scope)), 'recalled');
    const later = { ...message, acceptedAt: '2027-03-02T10:00:00.000Z' };
    assert.equal(verdictOf([stop('pause', scope)], later).verdict, 'paused');
  });

  it('lets a recall beat a pause, forgets a pause that was resumed, and says which and why', () => {
    const pause = stop('pause', { kind: 'tenant', value: 'shop' }, { reason: 'audit' });
    const recall = stop('recall', { kind: 'batch', value: 'spring' });
    assert.deepEqual(verdictOf([pause, recall], message), {
      verdict: 'recalled',
      detail: 'batch spring was recalled: wrong price',
    });
    assert.equal(verdictOf([pause], message).detail, 'tenant shop was paused: audit');
    assert.equal(verdict({ ...pause, endedAt: '2027-03-01T11:00:00.000Z' }), 'go');
  });
});
