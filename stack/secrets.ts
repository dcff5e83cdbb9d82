/** Secrets of a local installation: made once, kept in the data folder, readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface LocalSecrets {
  readonly masterKeys: string;
  readonly adminToken: string;
  readonly receiptToken: string;
  /** API key of the demo tenant, once it was made. */
  readonly demoKey?: string;
}

/** Reads the secrets of a data folder, or makes them. */
export function localSecrets(dataDir: string): LocalSecrets {
  const file = join(dataDir, 'secrets.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as LocalSecrets;
  const secrets: LocalSecrets = {
    masterKeys: `local:${randomBytes(32).toString('base64')}`,
    adminToken: randomBytes(24).toString('base64url'),
    receiptToken: randomBytes(18).toString('base64url'),
  };
  saveSecrets(dataDir, secrets);
  return secrets;
}

/** Writes the secrets of a data folder. */
export function saveSecrets(dataDir: string, secrets: LocalSecrets): void {
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(join(dataDir, 'secrets.json'), `${JSON.stringify(secrets, null, 2)}\n`, {
    mode: 0o600,
  });
}
