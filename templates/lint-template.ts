import type { TSchema } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { FieldFault } from '../contracts/problems.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import type { Finding, Lint } from '../contracts/template-lint.ts';
import { escapePointer, mapStrings } from './content.ts';
import { localeFindings, strayFindings } from './lint-locales.ts';
import { lintRendered } from './lint-rendered.ts';
import { printedAsTheyAre, TemplateError, variablesOf } from './liquid.ts';
import { localeFaults, partsOf } from './locales.ts';

export interface LintOptions {
  readonly connectors: ReadonlyMap<string, Connector>;
  /** Faults of a value by a schema, pointers from the value's root. */
  readonly schemaFaults: (schema: TSchema, value: unknown) => readonly FieldFault[];
}

/** Words with a meaning of their own in Liquid. */
const reservedNames = new Set(
  'true false nil null empty blank and or not contains forloop tablerowloop'.split(' '),
);

/**
 * Reads a template as an administrator wrote it, and renders it with samples where it can be read. Pointers go into the
 * edit: `/contents/sms-aliyun/signName`.
 */
export function lintTemplate(edit: TemplateEdit, options: LintOptions): Lint {
  const used = new Map<string, ReadonlySet<string>>();
  const findings = [...reservedFindings(edit), ...tagFindings(edit), ...strayFindings(edit)];
  for (const { connectorName, content, pointer: base } of partsOf(edit)) {
    findings.push(...contentFindings(content, { base, connectorName, options }));
    const names = new Set<string>();
    mapStrings(
      content,
      (text, pointer) => {
        findings.push(...textFindings(text, { pointer, edit, names }));
        return text;
      },
      base,
    );
    used.set(base, names);
  }
  // What cannot be read cannot be rendered: its consequences would only hide the cause.
  if (findings.some(({ level }) => level === 'error')) return { findings, sizes: {} };
  findings.push(...unusedFindings(edit, used), ...localeFindings(edit, used));
  const rendered = lintRendered(edit, { ...options, used });
  return { ...rendered, findings: [...findings, ...rendered.findings] };
}

/** The findings that keep a template from being published. */
export function errorsOf({ findings }: Lint): Finding[] {
  return findings.filter(({ level }) => level === 'error');
}

function reservedFindings({ variables }: TemplateEdit): Finding[] {
  return Object.keys(variables)
    .filter((name) => reservedNames.has(name))
    .map((name) => ({
      level: 'error',
      pointer: `/variables/${name}`,
      code: 'variable-reserved',
      detail: 'is a word of Liquid; take another',
    }));
}

function tagFindings(edit: TemplateEdit): Finding[] {
  return localeFaults(edit).map((fault) => ({ level: 'error', code: 'locale-invalid', ...fault }));
}

function contentFindings(
  content: unknown,
  at: { base: string; connectorName: string; options: LintOptions },
): Finding[] {
  const { connectors, schemaFaults } = at.options;
  const connector = connectors.get(at.connectorName);
  if (connector === undefined) {
    const detail = `is not a connector; there are: ${[...connectors.keys()].join(', ')}`;
    return [{ level: 'error', pointer: at.base, code: 'connector-unknown', detail }];
  }
  return schemaFaults(connector.contentSchema, content).map(({ pointer, detail }) => ({
    level: 'error',
    pointer: `${at.base}${pointer}`,
    code: 'content-invalid',
    detail,
  }));
}

function textFindings(
  text: string,
  { pointer, edit, names }: { pointer: string; edit: TemplateEdit; names: Set<string> },
): Finding[] {
  try {
    const found = variablesOf(text);
    for (const name of found) names.add(name);
    const undeclared = found
      .filter((name) => !Object.hasOwn(edit.variables, name))
      .map((name) => ({
        level: 'error' as const,
        pointer,
        code: 'variable-undeclared',
        detail: `uses "${name}", which is not declared in variables`,
      }));
    const bare = new Set(printedAsTheyAre(text));
    const optional = Object.keys(edit.variables)
      .filter((name) => edit.variables[name]?.required === false && bare.has(name))
      .map((name) => ({
        level: 'warning' as const,
        pointer,
        code: 'optional-without-default',
        detail: `prints "${name}", which may be absent; give it a default or ask for it with if`,
      }));
    return [...undeclared, ...optional];
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return [{ level: 'error', pointer, code: 'liquid-invalid', detail: error.message }];
  }
}

function unusedFindings(
  { variables }: TemplateEdit,
  used: ReadonlyMap<string, ReadonlySet<string>>,
): Finding[] {
  const all = [...used.values()];
  return Object.keys(variables)
    .filter((name) => !all.some((names) => names.has(name)))
    .map((name) => ({
      level: 'warning',
      pointer: `/variables/${escapePointer(name)}`,
      code: 'variable-unused',
      detail: 'is used nowhere',
    }));
}
