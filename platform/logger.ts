/** JSON log lines with personal data taken out by the logger, not by its callers. */
import { pino, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

/** Keys whose values never reach a log, at the first three levels of an object. */
const personalKeys = [
  'to',
  'phone',
  'email',
  'openid',
  'variables',
  'content',
  'sealed',
  'secrets',
  'authorization',
];

/** A logger for one process. `level`: trace, debug, info, warn or error. */
export function createLogger(process: string, level: string): Logger {
  return pino({
    level,
    base: { process },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: personalKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]),
      censor: '(personal)',
    },
    serializers: { error: pino.stdSerializers.errWithCause },
  });
}

/**
 * For a line that each message has, and whose fields are named in the code and hold nothing personal: looking for what to take
 * out is most of the cost of a line.
 */
export function withoutRedaction(logger: Logger): Logger {
  return logger.child({}, { redact: [] });
}
