import type { TSchema } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { Variables } from '../contracts/message.ts';
import type { FieldFault } from '../contracts/problems.ts';
import type { Template, TemplateEdit, Variable } from '../contracts/template.ts';
import { escapePointer, mapStrings } from './content.ts';
import { TemplateError, variablesOf } from './liquid.ts';
import { renderContent } from './render-content.ts';

export interface LintOptions {
  readonly connectors: ReadonlyMap<string, Connector>;
  /** Faults of a value by a schema, pointers from the value's root. */
  readonly schemaFaults: (schema: TSchema, value: unknown) => readonly FieldFault[];
}

export interface Lint {
  /** What keeps the template from being stored. */
  readonly faults: FieldFault[];
  /** What is probably not meant, but harmless: a variable that nothing uses, a content that fails with sample values. */
  readonly warnings: FieldFault[];
}

/** Words with a meaning of their own in Liquid. */
const reservedNames = new Set(
  'true false nil null empty blank and or not contains forloop tablerowloop'.split(' '),
);

/** Reads a template as an administrator wrote it. Pointers go into the edit: `/contents/sms-aliyun/signName`. */
export function lintTemplate(edit: TemplateEdit, options: LintOptions): Lint {
  const faults: FieldFault[] = [];
  const used = new Set<string>();
  for (const name of Object.keys(edit.variables))
    if (reservedNames.has(name))
      faults.push({ pointer: `/variables/${name}`, detail: 'is a word of Liquid; take another' });
  for (const [connectorName, content] of Object.entries(edit.contents)) {
    const base = `/contents/${escapePointer(connectorName)}`;
    faults.push(...contentFaults(content, { base, connectorName, options }));
    mapStrings(
      content,
      (text, pointer) => {
        faults.push(...textFaults(text, { pointer, edit, used }));
        return text;
      },
      base,
    );
  }
  return { faults, warnings: faults.length > 0 ? [] : warningsOf(edit, used) };
}

function contentFaults(
  content: unknown,
  at: { base: string; connectorName: string; options: LintOptions },
): FieldFault[] {
  const { connectors, schemaFaults } = at.options;
  const connector = connectors.get(at.connectorName);
  if (connector === undefined) {
    const known = [...connectors.keys()].join(', ');
    return [{ pointer: at.base, detail: `is not a connector; there are: ${known}` }];
  }
  return schemaFaults(connector.contentSchema, content).map((fault) => ({
    ...fault,
    pointer: `${at.base}${fault.pointer}`,
  }));
}

function textFaults(
  text: string,
  { pointer, edit, used }: { pointer: string; edit: TemplateEdit; used: Set<string> },
): FieldFault[] {
  try {
    const names = variablesOf(text);
    for (const name of names) used.add(name);
    return names
      .filter((name) => !Object.hasOwn(edit.variables, name))
      .map((name) => ({ pointer, detail: `uses "${name}", which is not declared in variables` }));
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return [{ pointer, detail: error.message }];
  }
}

function warningsOf(edit: TemplateEdit, used: ReadonlySet<string>): FieldFault[] {
  const unused = Object.keys(edit.variables)
    .filter((name) => !used.has(name))
    .map((name) => ({ pointer: `/variables/${escapePointer(name)}`, detail: 'is used nowhere' }));
  const samples = sampleVariables(edit);
  const unrendered = Object.keys(edit.contents).flatMap((connectorName) => {
    const rendered = renderContent(edit, connectorName, samples);
    return rendered.result === 'content'
      ? []
      : [
          {
            pointer: rendered.pointer,
            detail: `does not render with sample values: ${rendered.detail}`,
          },
        ];
  });
  return [...unused, ...unrendered];
}

/** A value for every variable: its own name (as far as it fits), 1, or true. */
export function sampleVariables(template: Pick<Template, 'variables'>): Variables {
  return Object.fromEntries(
    Object.entries(template.variables).map(([name, variable]) => [name, sample(name, variable)]),
  );
}

function sample(name: string, { type, maxLength }: Variable): string | number | boolean {
  if (type === 'string') return name.slice(0, maxLength ?? name.length);
  return type === 'number' ? 1 : true;
}
