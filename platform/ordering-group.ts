/** What stands for one ordering key of a tenant: in RocketMQ its message group, in Temporal the id of its sequencer. */
import { createHash } from 'node:crypto';
import type { Names } from '../contracts/topics.ts';
import { encodeBase32 } from './message-id.ts';

/** 26 characters, the same for every message of the key. */
export function orderingGroup(tenantId: string, orderingKey: string): string {
  const text = JSON.stringify([tenantId, orderingKey]);
  return encodeBase32(createHash('sha256').update(text).digest().subarray(0, 16));
}

/** Workflow id of the sequencer of one ordering key. */
export function sequencerId(
  names: Pick<Names, 'order'>,
  of: { readonly tenantId: string; readonly orderingKey: string },
): string {
  return `${names.order}-${orderingGroup(of.tenantId, of.orderingKey)}`;
}
