/** What a batch asks for, before anything of it is stored; and how far it has come. */
import type { Connector } from '../../contracts/channel.ts';
import { type Batch, type PostBatch } from '../../contracts/batch.ts';
import { longestScheduleMs } from '../../contracts/message.ts';
import { Problem, problem } from '../../contracts/problems.ts';
import type { Template } from '../../contracts/template.ts';
import { checkOptions, checkPriority } from '../../platform/compose-message.ts';
import type { BatchIndex } from '../../store/message-index.ts';
import { templateNotFound } from '../accept-message.ts';
import { charsets, type Charset } from './whole-lines.ts';

export interface CheckBatchDeps {
  readonly template: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly connectors: ReadonlyMap<string, Connector>;
}

const formats = { 'text/csv': 'csv', 'application/x-ndjson': 'ndjson' } as const;
export const recipientTypes = Object.keys(formats);

/** Resolves with the template. Errors: problems that name the field. */
export async function checkBatch(
  { template: find, connectors }: CheckBatchDeps,
  tenantId: string,
  batch: PostBatch,
): Promise<Template> {
  const { template: name, channel, channels, priority, startAt } = batch;
  checkOptions({ ...batch, template: name }, Date.now());
  checkStartAt(startAt);
  const template = await find(tenantId, name);
  if (template === undefined) throw templateNotFound(name);
  checkPriority(template, priority);
  const offered = Object.keys(template.contents).flatMap((of) => connectors.get(of) ?? []);
  const wanted = [
    ...(channel === undefined ? [] : [['/channel', channel] as const]),
    ...(channels ?? []).map((one, index) => [`/channels/${index}`, one] as const),
  ];
  for (const [pointer, one] of wanted) {
    if (offered.some((connector) => connector.name === one || connector.channel === one)) continue;
    const has = [...new Set(offered.map((connector) => connector.channel))].join(', ');
    const detail = `template "${name}" has content for ${has}`;
    throw problem('channel-unavailable', { detail, errors: [{ pointer, detail }] });
  }
  return template;
}

/** Errors: validation-failed. */
export function checkStartAt(startAt: string | undefined): void {
  if (startAt === undefined) return;
  const aheadMs = Date.parse(startAt) - Date.now();
  const detail =
    aheadMs < 0
      ? 'is in the past'
      : aheadMs > longestScheduleMs
        ? 'is more than 90 days ahead'
        : '';
  if (detail !== '')
    throw problem('validation-failed', {
      detail: `/startAt ${detail}`,
      errors: [{ pointer: '/startAt', detail }],
    });
}

/** Format and charset of an upload. Errors: unsupported-media-type. */
export function readMediaType(contentType: string): { format: 'csv' | 'ndjson'; charset: Charset } {
  const [type = '', ...parameters] = contentType
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const format = Object.hasOwn(formats, type) ? formats[type as keyof typeof formats] : undefined;
  if (format === undefined)
    throw problem('unsupported-media-type', { detail: `Send ${recipientTypes.join(' or ')}.` });
  const given = parameters
    .find((one) => one.startsWith('charset='))
    ?.slice(8)
    .replaceAll('"', '');
  const charset = charsets.find(
    (known) => known === (given === 'utf8' ? 'utf-8' : (given ?? 'utf-8')),
  );
  if (charset === undefined)
    throw problem('unsupported-media-type', {
      detail: `A charset is one of ${charsets.join(', ')}.`,
    });
  return { format, charset };
}

/** The batch's messages by status, those that it still holds among them; nothing while the index does not answer. */
export async function messagesOf(
  index: Pick<BatchIndex, 'counts'>,
  { id, tenantId, state, total, published, erased }: Batch,
): Promise<{ messages?: Record<string, number> }> {
  try {
    const known = (await index.counts(tenantId, [id])).get(id) ?? {};
    const seen = Object.values(known).reduce((sum, count) => sum + count, 0);
    const inBatch = total - published - erased;
    const messages: Record<string, number> = { ...known };
    const add = (status: string, count: number) => {
      if (count > 0) messages[status] = (messages[status] ?? 0) + count;
    };
    add(state === 'stopped' ? 'recalled' : 'waiting', inBatch);
    add('recalled', erased);
    // Handed over, and not in the index yet.
    add('accepted', published - seen);
    return { messages };
  } catch (error) {
    if (error instanceof Problem && error.code === 'search-unavailable') return {};
    throw error;
  }
}
