/** Where a local server lives. */
import type { Ports } from './ports.ts';

export interface ServerSite {
  /** Absolute folder below which the server keeps its data and logs. */
  readonly dataDir: string;
  readonly ports: Ports;
  readonly onProgress: (line: string) => void;
}
