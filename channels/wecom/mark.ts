/** What makes a delivery recognisable in requests that have no field for it. */
import { createHash } from 'node:crypto';

/** 24 hex digits: the same for the same delivery keys in the same order. */
export function markOf(...deliveryKeys: readonly string[]): string {
  return createHash('sha256').update(deliveryKeys.join('\n')).digest('hex').slice(0, 24);
}

/**
 * The link with the mark as its fragment, which servers never see. A link that has a fragment stays as it is: it may be
 * a page's own address (`#/orders/1`).
 */
export function markUrl(url: string, mark: string): string {
  return url.includes('#') ? url : `${url}#mc=${mark}`;
}

/** The mark of a link, if it has one. */
export function markIn(url: string): string | undefined {
  return /#mc=([0-9a-f]{24})$/.exec(url)?.[1];
}

/** Texts of a message by their place, with the bytes that WeCom takes of each. */
export type LimitedTexts = Readonly<
  Record<string, { readonly text: string | undefined; readonly bytes: number }>
>;

/** The first text that is longer than its limit, in UTF-8, as a sentence; undefined where all fit. */
export function oversize(limits: LimitedTexts): string | undefined {
  for (const [name, { text, bytes }] of Object.entries(limits)) {
    const size = Buffer.byteLength(text ?? '');
    if (size > bytes) return `${name} is ${size} bytes long, ${bytes} at most`;
  }
  return undefined;
}
