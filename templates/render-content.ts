import type { Variables } from '../contracts/message.ts';
import type { Template } from '../contracts/template.ts';
import { escapePointer, mapStrings } from './content.ts';
import { renderText, TemplateError } from './liquid.ts';
import { partFor } from './locales.ts';

export type RenderedContent =
  | { readonly result: 'content'; readonly content: unknown }
  /** `pointer` into the template: `/contents/sms-aliyun/text`. `detail` tells no variable's value. */
  | { readonly result: 'template-error'; readonly pointer: string; readonly detail: string };

/**
 * Fills a template's content for one connector. Nothing is escaped or trimmed, numbers read as `String(n)`, an optional
 * variable that was not given is empty. The variables must have passed checkVariables; `locale` is what chooseLocale gave.
 */
export function renderContent(
  template: Pick<Template, 'variables' | 'contents' | 'locale' | 'locales'>,
  connectorName: string,
  { variables, locale }: { readonly variables: Variables; readonly locale?: string | undefined },
): RenderedContent {
  const part = partFor(template, connectorName, locale);
  if (part === undefined)
    return {
      result: 'template-error',
      pointer: `/contents/${escapePointer(connectorName)}`,
      detail: 'the template has no content for this connector',
    };
  const scope = scopeOf(template, variables);
  let place = part.pointer;
  try {
    const content = mapStrings(
      part.content,
      (text, pointer) => {
        place = pointer;
        return renderText(text, scope, part.locale);
      },
      part.pointer,
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
