/** Texts of a WeCom message against its limits: it would cut them without a word. */
import type { ConnectorLint, LintSamples } from '../../contracts/template-lint.ts';
import { lintSizes } from '../kit/lint-sizes.ts';
import type { LimitedTexts } from './mark.ts';

/** A lint over the texts that `textsOf` names, each `<part>.<field>`, as they are in this content. */
export function lintTexts<Content>(textsOf: (content: Content) => LimitedTexts) {
  return (samples: LintSamples<Content>): ConnectorLint => {
    const given = Object.entries(textsOf(samples.stored)).filter(([, { text }]) => text);
    return lintSizes(
      samples,
      given.map(([name, { bytes }]) => ({
        what: `bytes of ${name}`,
        pointer: `/${name.replaceAll('.', '/')}`,
        of: (content) => Buffer.byteLength(textsOf(content)[name]?.text ?? ''),
        limit: bytes,
      })),
    );
  };
}
