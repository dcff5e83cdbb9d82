/** Where sealed values lie in MySQL, so that they can be moved to a new key. Each is declared beside the code that seals it. */
import type { SealForm } from '../platform/seal.ts';

export interface SealedColumn<Row = never> {
  /** What it holds, for people. */
  readonly what: string;
  readonly table: string;
  readonly column: string;
  /** The primary key. */
  readonly keys: readonly string[];
  /** Columns besides the keys that `context` reads. */
  readonly besides?: readonly string[];
  readonly form: SealForm;
  /** What the value was sealed for. */
  readonly context: (row: Row) => string;
}
