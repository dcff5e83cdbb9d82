/**
 * One mail over one open session, and whether its final dot may have left: until then nobody has taken it (RFC 5321 4.1.1.4),
 * after it only the server's answer tells.
 */
import { Readable } from 'node:stream';
import type { NodemailerError } from 'nodemailer';
import type { ComposedMail } from './compose.ts';
import { smtpError, type SmtpSession } from './connect.ts';

export type Transfer =
  | {
      readonly result: 'taken';
      readonly response: string;
      readonly serverMessageId: string | undefined;
    }
  | {
      readonly result: 'failed';
      readonly error: NodemailerError;
      readonly dotMayHaveLeft: boolean;
    };

const chunkBytes = 16 * 1024;

/** Sends once. An abort closes the session at once. Never rejects. */
export function transfer(
  session: SmtpSession,
  mail: Pick<ComposedMail, 'raw' | 'envelope'>,
  signal: AbortSignal,
): Promise<Transfer> {
  return new Promise((resolve) => {
    let dotMayHaveLeft = false;
    let offset = 0;
    // nodemailer writes the dot when this stream has ended. It is first read after the 354, and when the session closes it
    // is destroyed instead of ended: as long as the end was not asked for, no dot can leave.
    const source = new Readable({
      read() {
        if (offset >= mail.raw.length) dotMayHaveLeft = true;
        const chunk = mail.raw.subarray(offset, offset + chunkBytes);
        offset += chunk.length;
        this.push(chunk.length === 0 ? null : chunk);
      },
    });
    const settle = (outcome: Transfer) => {
      session.off('end', onEnd);
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const fail = (error: NodemailerError) => settle({ result: 'failed', error, dotMayHaveLeft });
    const onAbort = () => {
      fail(signal.reason as Error);
      session.close();
    };
    // nodemailer forgets the callback when it closes of its own accord; else that comes in the same turn.
    const onEnd = () => setImmediate(fail, smtpError('ECONNECTION', 'connection closed'));
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    session.once('end', onEnd);
    session.send(mail.envelope, source, (error, info) => {
      if (error !== null) return fail(error);
      const { response, serverMessageId } = info;
      settle({ result: 'taken', response, serverMessageId });
    });
  });
}
