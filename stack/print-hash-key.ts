/** Prints the entry of MC_MASTER_KEYS that keeps hashes and ids as they are when the last key is taken out: a secret. */
import { loadConfig } from '../platform/config.ts';
import { hashEntry } from '../platform/seal.ts';

console.log(hashEntry(loadConfig(process.env).masterKeys));
