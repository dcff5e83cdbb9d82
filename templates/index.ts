/** Templates: reading, checking variables, rendering. Pure: no clock, no files, no network. */
export { checkVariables } from './check-variables.ts';
export { lintTemplate, sampleVariables, type Lint, type LintOptions } from './lint-template.ts';
export { parseTemplate, TemplateError } from './liquid.ts';
export { renderContent, type RenderedContent } from './render-content.ts';
