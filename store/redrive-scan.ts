/** Which messages a redrive goes through: the same for the job that does it and for who counts first. */
import { defaultRedrivenStatuses, type Redrive } from '../contracts/redrive.ts';
import type { MessageScan } from './message-index-search.ts';

/** The scan of a redrive by filter; without one, of all that failed or expired. */
export function redriveScan({
  tenantId,
  filter,
  createdAt,
}: Pick<Redrive, 'tenantId' | 'filter' | 'createdAt'>): MessageScan {
  const { status, acceptedFrom, acceptedTo, ...same } = filter ?? {};
  return {
    tenantId,
    statuses: status ?? defaultRedrivenStatuses,
    ...same,
    from: acceptedFrom,
    until: acceptedTo,
    unchangedSince: createdAt,
  };
}
