/** Times as the provider writes them: in UTC+8, without saying so. */

const offsetMs = 8 * 3_600_000;

/** `2017-01-01 00:00:00` as ISO in UTC, or undefined where it is no such time. */
export function providerTime(time: string | null | undefined): string | undefined {
  if (!time || !/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$/.test(time)) return undefined;
  const date = new Date(`${time.replace(' ', 'T')}+08:00`);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** `yyyyMMdd`, as QuerySendDetails counts days. */
export function providerDay(timeMs: number): string {
  return new Date(timeMs + offsetMs).toISOString().slice(0, 10).replaceAll('-', '');
}
