/** What is found wrong with a template before it is used. Carried by: connectors → templates → admin API. */
import { Type, type Static } from 'typebox';

export const FindingSchema = Type.Object({
  level: Type.Enum(['error', 'warning'], {
    description: 'error: it is not published so. warning: it may be meant.',
  }),
  pointer: Type.String({ description: 'JSON Pointer into the template.' }),
  code: Type.String({ description: 'Which rule.', examples: ['variable-undeclared'] }),
  detail: Type.String(),
});
export type Finding = Static<typeof FindingSchema>;

export const SizeSchema = Type.Object({
  what: Type.String({ examples: ['segments'] }),
  sample: Type.Number({ description: 'With sample values.' }),
  longest: Type.Union([Type.Number(), Type.Null()], {
    description:
      'With every variable as long as it may be; null: one that is used has no maxLength.',
  }),
  limit: Type.Optional(Type.Number({ description: 'What the provider takes.' })),
});
export type Size = Static<typeof SizeSchema>;

const SizesSchema = Type.Record(Type.String(), Type.Array(SizeSchema), {
  description: 'How long contents come out, by connector, where it has limits or a price.',
});
export const LintSchema = Type.Object({
  findings: Type.Array(FindingSchema),
  sizes: SizesSchema,
  localeSizes: Type.Optional(
    Type.Record(Type.String(), SizesSchema, { description: 'The same of each of locales.' }),
  ),
});
export type Lint = Static<typeof LintSchema>;

/** One content, as stored (its strings are Liquid) and as it comes out with values of several lengths. */
export interface LintSamples<Content = unknown> {
  readonly stored: Content;
  readonly sample: Content;
  /** Every string of one character; with flags set and not, with optional variables and without. Never empty. */
  readonly shortest: readonly Content[];
  /** Every string of its maxLength, in the same cases. Never empty. */
  readonly longest: readonly Content[];
}

/** Pointers of findings go into the content: `/params/code`. */
export interface ConnectorLint {
  readonly findings: readonly Finding[];
  readonly sizes: readonly (Size & { readonly longest: number })[];
}
