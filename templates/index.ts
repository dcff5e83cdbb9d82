/** Templates: reading, checking variables, rendering. Pure: no clock, no files, no network. */
export { checkVariables } from './check-variables.ts';
export { lintTemplate, sampleVariables } from './lint-template.ts';
export { renderContent } from './render-content.ts';
