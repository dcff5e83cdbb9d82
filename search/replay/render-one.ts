/** How one message's content comes out of a template, without sending it. */
import { isDeepStrictEqual } from 'node:util';
import type { TSchema } from 'typebox';
import type { Connector } from '../../contracts/channel.ts';
import type { Variables } from '../../contracts/message.ts';
import type { FieldFault } from '../../contracts/problems.ts';
import type { TemplateEdit } from '../../contracts/template.ts';
import { checkVariables, partFor, renderContent } from '../../templates/index.ts';

/** What is measured of a content, by its name: segments, payload bytes. */
export type Sizes = Readonly<Record<string, { readonly size: number; readonly limit?: number }>>;

export type RenderedOne =
  | { readonly result: 'content'; readonly content: unknown; readonly sizes: Sizes }
  /** Faults tell no variable's value; their pointers go into the template, or are `/variables/…` of the message. */
  | { readonly result: 'fails'; readonly faults: readonly FieldFault[] };

export interface RenderOneDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  /** Faults of a value by a schema. */
  readonly schemaFaults: (schema: TSchema, value: unknown) => FieldFault[];
}

export interface MessageToRender {
  readonly connector: string;
  readonly variables: Variables;
  /** As chooseLocale gave it. */
  readonly locale: string | undefined;
}

/** Renders as the version is asked for new messages: its variables are checked, and what comes out is held to the schema. */
export function renderAsNew(
  deps: RenderOneDeps,
  template: TemplateEdit,
  message: MessageToRender,
): RenderedOne {
  const faults = checkVariables(template, message.variables);
  return faults.length > 0 ? { result: 'fails', faults } : renderAsSent(deps, template, message);
}

/** Renders as a delivery does, whose variables were checked when it was accepted. */
export function renderAsSent(
  { connectors, schemaFaults }: RenderOneDeps,
  template: TemplateEdit,
  message: MessageToRender,
): RenderedOne {
  const { connector: name, variables, locale } = message;
  const rendered = renderContent(template, name, { variables, locale });
  if (rendered.result === 'template-error') {
    const { pointer, detail } = rendered;
    return { result: 'fails', faults: [{ pointer, detail }] };
  }
  const { content } = rendered;
  const connector = connectors.get(name);
  const pointer = partFor(template, name, locale)?.pointer ?? `/contents/${name}`;
  if (connector === undefined)
    return { result: 'fails', faults: [{ pointer, detail: 'is of no connector that is here' }] };
  const faults = schemaFaults(connector.contentSchema, content);
  if (faults.length > 0)
    return {
      result: 'fails',
      faults: faults.map((fault) => ({ ...fault, pointer: `${pointer}${fault.pointer}` })),
    };
  return { result: 'content', content, sizes: sizesOf(connector, template, content) };
}

/** Whether two come out the same, to the byte. */
export function isSameContent(a: RenderedOne, b: RenderedOne): boolean {
  return (
    a.result === 'content' && b.result === 'content' && isDeepStrictEqual(a.content, b.content)
  );
}

/** What the connector's lint measures, of this content alone. */
function sizesOf(connector: Connector, template: TemplateEdit, content: unknown): Sizes {
  const found = connector.lint?.({
    stored: template.contents[connector.name],
    sample: content,
    shortest: [content],
    longest: [content],
  });
  return Object.fromEntries(
    (found?.sizes ?? []).map(({ what, sample, limit }) => [
      what,
      { size: sample, ...(limit !== undefined && { limit }) },
    ]),
  );
}
