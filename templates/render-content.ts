import type { Variables } from '../contracts/message.ts';
import type { Template } from '../contracts/template.ts';
import { escapePointer, mapStrings } from './content.ts';
import { renderText, TemplateError } from './liquid.ts';

export type RenderedContent =
  | { readonly result: 'content'; readonly content: unknown }
  /** `pointer` into the template: `/contents/sms-aliyun/text`. `detail` tells no variable's value. */
  | { readonly result: 'template-error'; readonly pointer: string; readonly detail: string };

/**
 * Fills a template's content for one connector. Nothing is escaped or trimmed, numbers read as `String(n)`, an optional
 * variable that was not given is empty. The variables must have passed checkVariables.
 */
export function renderContent(
  template: Pick<Template, 'variables' | 'contents'>,
  connectorName: string,
  variables: Variables,
): RenderedContent {
  const base = `/contents/${escapePointer(connectorName)}`;
  const missing = 'the template has no content for this connector';
  if (!Object.hasOwn(template.contents, connectorName))
    return { result: 'template-error', pointer: base, detail: missing };
  const scope = scopeOf(template, variables);
  let place = base;
  try {
    const content = mapStrings(
      template.contents[connectorName],
      (text, pointer) => {
        place = pointer;
        return renderText(text, scope);
      },
      base,
    );
    return { result: 'content', content };
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return { result: 'template-error', pointer: place, detail: error.message };
  }
}

// null, unlike undefined, is known to strict Liquid: it renders as nothing and is false in a condition.
function scopeOf(template: Pick<Template, 'variables'>, variables: Variables): object {
  return Object.fromEntries(
    Object.keys(template.variables).map((name) => [
      name,
      Object.hasOwn(variables, name) ? variables[name] : null,
    ]),
  );
}
