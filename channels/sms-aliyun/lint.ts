/** What a text message costs: a provider charges by the segment. */
import type { ConnectorLint, LintSamples } from '../../contracts/template-lint.ts';
import { lintSizes } from '../kit/lint-sizes.ts';
import type { SmsContent } from './client.ts';

/** One message alone, and each part of one that is cut into several (channel UCS-2, as Chinese texts are sent). */
const wholeLength = 70;
const partLength = 67;

/** Segments of a text with its signature, in UTF-16 units as they are sent. */
export function segmentsOf(text: string): number {
  return text.length <= wholeLength ? 1 : Math.ceil(text.length / partLength);
}

const shown = ({ signName, text = '' }: SmsContent) => `【${signName}】${text}`;

/** Counts segments with sample values and with the longest. Without `text` nobody knows: the provider renders its own. */
export function lintSms(samples: LintSamples<SmsContent>): ConnectorLint {
  if (samples.stored.text === undefined) {
    const detail = 'is not given, so nobody can tell how many segments are charged';
    return {
      findings: [{ level: 'warning', pointer: '/text', code: 'sms-text-unknown', detail }],
      sizes: [],
    };
  }
  const { sizes } = lintSizes(samples, [
    { what: 'characters', pointer: '/text', of: (content) => shown(content).length },
    { what: 'segments', pointer: '/text', of: (content) => segmentsOf(shown(content)) },
  ]);
  const [length, segments] = sizes;
  const most = segments?.longest ?? 1;
  if (most === 1) return { findings: [], sizes };
  const detail = `is charged as ${most} messages with the longest values: ${length?.longest} characters with the signature, ${partLength} in each; ${wholeLength} fit into one`;
  return {
    findings: [{ level: 'warning', pointer: '/text', code: 'sms-segments', detail }],
    sizes,
  };
}
