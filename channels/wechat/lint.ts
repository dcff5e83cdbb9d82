/** Fields of a WeChat template against the kinds that their names say: thing1 is a `thing`, of 20 characters. */
import type { ConnectorLint, Finding, LintSamples } from '../../contracts/template-lint.ts';
import { lintSizes, type Measure } from '../kit/lint-sizes.ts';
import type { WechatContent } from './client.ts';
import { fitsField, kindOf, lengthLimit, lengthOf } from './values.ts';

/** Kinds into which a figure fits: when the shortest values, which are figures, do not, none will. */
const figureKinds = new Set([
  'thing',
  'number',
  'character_string',
  'amount',
  'phone_number',
  'car_number',
  'name',
]);

/** Looks at every field of a known kind. */
export function lintWechat(samples: LintSamples<WechatContent>): ConnectorLint {
  const fields = Object.keys(samples.stored.data);
  const { findings, sizes } = lintSizes(samples, fields.flatMap(measureOf));
  const tooLong = new Set(findings.map(({ pointer }) => pointer));
  const unfit = fields
    .flatMap((field) => fieldFindings(field, samples))
    .filter(({ pointer }) => !tooLong.has(pointer));
  return { findings: [...findings, ...unfit], sizes };
}

const valueOf = (field: string) => (content: WechatContent) => content.data[field] ?? '';

function measureOf(field: string): Measure<WechatContent>[] {
  const limit = lengthLimit(field);
  if (limit === undefined) return [];
  const of = (content: WechatContent) => lengthOf(valueOf(field)(content));
  return [{ what: `characters of ${field}`, pointer: `/data/${field}`, of, limit }];
}

function fieldFindings(
  field: string,
  { stored, sample, shortest, longest }: LintSamples<WechatContent>,
): Finding[] {
  const kind = kindOf(field);
  if (kind === undefined) return [];
  const pointer = `/data/${field}`;
  const value = valueOf(field);
  const cases = [sample, ...shortest, ...longest].map(value);
  const isFixed = cases.every((one) => one === value(stored));
  const fitsOne = shortest.map(value).some((one) => fitsField(field, one));
  if (isFixed ? !fitsField(field, value(stored)) : figureKinds.has(kind) && !fitsOne)
    return [
      {
        level: 'error',
        pointer,
        code: 'wechat-field',
        detail: `WeChat takes no such value as a ${kind}`,
      },
    ];
  if (kind === 'name' && longest.some((content) => !fitsField(field, value(content))))
    return [
      {
        level: 'warning',
        pointer,
        code: 'too-long',
        detail: 'may be longer than 10 characters, the most where some are Chinese',
      },
    ];
  if (cases.some((one) => one.trim() === ''))
    return [
      {
        level: 'warning',
        pointer,
        code: 'wechat-field-empty',
        detail: 'is empty with some values, which WeChat refuses',
      },
    ];
  return [];
}
