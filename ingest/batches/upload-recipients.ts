/** `PUT /v1/batches/{batch}/recipients`: reads, checks and stores a file while it comes. All of it, or nothing. */
import {
  blockMembers,
  mostBatchLines,
  mostKeptFaults,
  type Batch,
  type BatchFault,
  type BatchMember,
} from '../../contracts/batch.ts';
import { faultsInRow, type Batches, type Upload } from '../../store/index.ts';
import { createCheckLine, type CheckAgainst, type CheckLinesDeps } from './check-line.ts';
import { lineProblem } from './line-problem.ts';
import { readCsv } from './read-csv.ts';
import { readNdjson } from './read-ndjson.ts';
import { wholeLines, type Charset } from './whole-lines.ts';

export interface UploadDeps extends CheckLinesDeps {
  readonly batches: Pick<
    Batches,
    'beginUpload' | 'addBlock' | 'addFaults' | 'finishUpload' | 'abandonUpload'
  >;
}

export interface RecipientsFile {
  readonly body: AsyncIterable<Buffer>;
  readonly format: 'csv' | 'ndjson';
  readonly charset: Charset;
}

/** A block is closed earlier when its members are long, so that a row and a broker message stay small. */
const mostBlockBytes = 256 * 1024;

/** Resolves with the batch as it is with these recipients. Errors: problems; the batch is then as it was. */
export async function uploadRecipients(
  deps: UploadDeps,
  against: CheckAgainst,
  file: RecipientsFile,
): Promise<Batch> {
  const upload = await deps.batches.beginUpload(against.tenantId, against.batchId);
  try {
    return await deps.batches.finishUpload(upload, await store(deps, { upload, against, file }));
  } catch (error) {
    // Nobody can see what was stored of it; what cannot be removed now is purged later.
    await deps.batches.abandonUpload(upload).catch(() => undefined);
    throw error;
  }
}

async function store(
  { batches, ...checking }: UploadDeps,
  of: { readonly upload: Upload; readonly against: CheckAgainst; readonly file: RecipientsFile },
): Promise<{ members: number; faults: number }> {
  const { upload, against, file } = of;
  const check = createCheckLine(checking, against);
  const counts = { members: 0, faults: 0 };
  let block: BatchMember[] = [];
  let blockBytes = 0;
  let blocks = 0;
  let faults: BatchFault[] = [];
  let kept = 0;
  const storeBlock = async () => {
    const firstIndex = counts.members - block.length;
    await batches.addBlock(upload, { number: blocks, firstIndex, members: block });
    blocks += 1;
    block = [];
    blockBytes = 0;
  };
  const keepFault = async (fault: BatchFault) => {
    if (kept === mostKeptFaults) return;
    faults.push(fault);
    kept += 1;
    if (kept % faultsInRow !== 0) return;
    await batches.addFaults(upload, kept / faultsInRow - 1, faults);
    faults = [];
  };

  const pieces = wholeLines(file.body, file.charset);
  const lines = file.format === 'csv' ? readCsv(pieces, against.template) : readNdjson(pieces);
  let count = 0;
  for await (const raw of lines) {
    count += 1;
    if (count > mostBatchLines)
      throw lineProblem(raw.line, `is one more than the ${mostBatchLines} that a batch may have`);
    const checked = check(raw, counts.members);
    if ('faults' in checked) {
      counts.faults += 1;
      for (const fault of checked.faults) await keepFault(fault);
      continue;
    }
    counts.members += 1;
    block.push(checked.member);
    blockBytes += lengthOf(checked.member);
    if (block.length === blockMembers || blockBytes > mostBlockBytes) await storeBlock();
  }
  if (count === 0) throw lineProblem(1, 'names no recipient, nor does any other');
  if (block.length > 0) await storeBlock();
  if (faults.length > 0) await batches.addFaults(upload, Math.floor(kept / faultsInRow), faults);
  return counts;
}

const lengthOf = ({ variables }: BatchMember): number =>
  Object.values(variables).reduce<number>((sum, value) => sum + String(value).length, 0);
