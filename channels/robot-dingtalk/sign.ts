/**
 * Signature of a DingTalk custom robot (open.dingtalk.com, custom robot security settings): HMAC-SHA256 with the secret as
 * key over `timestamp\nsecret`, base64.
 */
import { createHmac } from 'node:crypto';

/** The signature, not yet encoded for a query. `timestampMs` as it goes into the query. */
export function signRobot(secret: string, timestampMs: string): string {
  return createHmac('sha256', secret).update(`${timestampMs}\n${secret}`).digest('base64');
}
