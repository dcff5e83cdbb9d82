import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentVersion, sequences } from './sequences.ts';
import { endStatuses, isEnd, mayMove, statuses, statusMoves } from './status.ts';

describe('statuses', () => {
  it('every move leads to a status, and none to where it began but retrying', () => {
    for (const [from, next] of Object.entries(statusMoves))
      for (const to of next) {
        assert.ok(statuses.includes(to), `${from} → ${to}`);
        if (to === from) assert.equal(from, 'retrying');
      }
  });

  it('every status can be reached from accepted', () => {
    const reached = new Set(['accepted']);
    for (const from of reached)
      for (const to of statusMoves[from as keyof typeof statusMoves]) reached.add(to);
    assert.deepEqual([...reached].toSorted(), statuses.toSorted());
  });

  it('from an end, only a receipt or a recall after sending moves on', () => {
    for (const from of endStatuses)
      for (const to of statusMoves[from])
        assert.ok(
          ['sent', 'delivered', 'read', 'failed', 'recalled'].includes(to),
          `${from} → ${to}`,
        );
  });

  it('all other pairs are refused', () => {
    assert.equal(mayMove('delivered', 'failed'), false);
    assert.equal(mayMove('read', 'delivered'), false);
    assert.equal(mayMove('sent', 'sending'), false);
    assert.equal(isEnd('retrying'), false);
    assert.equal(isEnd('unknown'), true);
  });
});

describe('sequences', () => {
  it('order: accepted, sending, attempts by round, end, receipts; and a redrive is above all of it', () => {
    const inOrder = [
      sequences.accepted,
      sequences.sending,
      sequences.roundStart(0),
      sequences.attempt(0, 1),
      sequences.attempt(0, 2),
      sequences.attempt(0, 1_000_000),
      sequences.roundEnd(0),
      sequences.roundStart(1),
      sequences.attempt(1, 1),
      sequences.roundEnd(1),
      sequences.attempt(62, 4000),
      sequences.roundEnd(1000),
      sequences.end,
      sequences.receipt.failed,
      sequences.receipt.delivered,
      sequences.receipt.read,
    ].map((sequence) => documentVersion({ redrive: 0, sequence }));
    assert.deepEqual(
      inOrder,
      inOrder.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(inOrder).size, inOrder.length);
    assert.ok(
      documentVersion({ redrive: 1, sequence: 0 }) >
        documentVersion({ redrive: 0, sequence: sequences.receipt.read }),
    );
  });
});
