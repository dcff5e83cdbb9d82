/** Templates: reading, checking variables, rendering. Pure: no clock, no files, no network. */
export { checkVariables } from './check-variables.ts';
export { errorsOf, lintTemplate } from './lint-template.ts';
export {
  chooseLocale,
  localeFaults,
  partFor,
  withCanonicalLocales,
  type WantedLocales,
} from './locales.ts';
export { renderContent } from './render-content.ts';
export { sampleVariables } from './sample-variables.ts';
export { canonicalTemplate, diffContents, diffTemplates, isSameTemplate } from './template-file.ts';
