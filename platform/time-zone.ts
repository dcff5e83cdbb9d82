/** Time zones of the IANA database. */
import { IANAZone } from 'luxon';

/** What is wrong with the name of a time zone; undefined: nothing. */
export function timeZoneFault(name: string): string | undefined {
  return isTimeZone(name)
    ? undefined
    : 'is not a time zone of the IANA database, such as Asia/Shanghai';
}

/** Whether there is a time zone of this name. Remembers what it was asked. */
export function isTimeZone(name: string): boolean {
  return IANAZone.create(name).isValid;
}
