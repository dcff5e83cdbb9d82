/**
 * Signature of a Feishu custom robot (open.feishu.cn, custom bot guide): HMAC-SHA256 over nothing, with `timestamp\nsecret`
 * as key, base64. Key and text are the other way round than in most protocols.
 */
import { createHmac } from 'node:crypto';

/** The signature. `timestampSeconds` as it goes into the body. */
export function signRobot(secret: string, timestampSeconds: string): string {
  return createHmac('sha256', `${timestampSeconds}\n${secret}`).digest('base64');
}
