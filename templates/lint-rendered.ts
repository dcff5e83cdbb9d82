/** The part of the lint that looks at contents as they come out: whether they render, and how long they are. */
import type { Connector } from '../contracts/channel.ts';
import type { Variables } from '../contracts/message.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import type { Finding, Lint, LintSamples } from '../contracts/template-lint.ts';
import { escapePointer } from './content.ts';
import type { LintOptions } from './lint-template.ts';
import { partsOf, type Part } from './locales.ts';
import { renderContent } from './render-content.ts';
import { extremeVariables, sampleVariables } from './sample-variables.ts';

/** Lints a template whose texts can be read. `used`: the variables that each content names, by its pointer. */
export function lintRendered(
  edit: TemplateEdit,
  options: LintOptions & { readonly used: ReadonlyMap<string, ReadonlySet<string>> },
): Lint {
  const { connectors, schemaFaults, used } = options;
  const findings: Finding[] = [];
  const sizes: Lint['sizes'] = {};
  const localeSizes: NonNullable<Lint['localeSizes']> = {};
  const unbounded = new Set<string>();
  for (const part of partsOf(edit)) {
    const { connectorName: name, pointer: base, locale } = part;
    const connector = connectors.get(name);
    if (connector === undefined) continue;
    const { samples, failures, isExhausted } = renderSamples(edit, part);
    findings.push(...failures);
    // A loop that was not meant costs a second each time, and may be in every language.
    if (isExhausted) break;
    if (samples === undefined) continue;
    const placed = (finding: Finding) => ({ ...finding, pointer: `${base}${finding.pointer}` });
    const found = connector.lint?.(samples) ?? { findings: [], sizes: [] };
    const told = new Set(found.findings.map(({ pointer }) => pointer));
    const overlong = lengthFindings(connector, samples, schemaFaults);
    findings.push(...overlong.filter(({ pointer }) => !told.has(pointer)).map(placed));
    if (connector.lint === undefined) continue;
    const open = [...(used.get(base) ?? [])].filter((variable) => isUnbounded(edit, variable));
    for (const variable of open) unbounded.add(variable);
    findings.push(...found.findings.map(placed));
    const isOwn = base.startsWith('/contents/');
    const sizesHere = isOwn || locale === undefined ? sizes : (localeSizes[locale] ??= {});
    sizesHere[name] = found.sizes.map((size) => ({
      ...size,
      longest: open.length > 0 ? null : size.longest,
    }));
  }
  findings.push(
    ...[...unbounded].map((name) => ({
      level: 'warning' as const,
      pointer: `/variables/${escapePointer(name)}`,
      code: 'variable-unbounded',
      detail: 'has no maxLength, so nobody can tell whether what it is used in fits',
    })),
  );
  return { findings, sizes, ...(edit.locales !== undefined && { localeSizes }) };
}

function isUnbounded({ variables }: TemplateEdit, name: string): boolean {
  const variable = variables[name];
  return variable?.type === 'string' && variable.maxLength === undefined;
}

/** Renders every case. One that fails with all values is an error, with some a warning. */
function renderSamples(
  edit: TemplateEdit,
  { connectorName, locale, content: stored }: Part,
): { samples: LintSamples | undefined; failures: Finding[]; isExhausted: boolean } {
  const failed = new Map<string, string>();
  let isExhausted = false;
  const render = (variables: Variables): unknown[] => {
    if (isExhausted) return [];
    const rendered = renderContent(edit, connectorName, { variables, locale });
    if (rendered.result === 'content') return [rendered.content];
    failed.set(rendered.pointer, rendered.detail);
    isExhausted = /limit exceeded/.test(rendered.detail);
    return [];
  };
  const [sample] = render(sampleVariables(edit));
  const shortest = extremeVariables(edit, 'shortest').flatMap(render);
  const longest = extremeVariables(edit, 'longest').flatMap(render);
  const [any] = [sample, ...longest, ...shortest].filter((one) => one !== undefined);
  const failures = [...failed].map(([pointer, detail]) => ({
    level: any === undefined ? ('error' as const) : ('warning' as const),
    pointer,
    code: 'render-failed',
    detail: `does not render with ${any === undefined ? 'any' : 'some'} sample values: ${detail}`,
  }));
  if (any === undefined) return { samples: undefined, failures, isExhausted };
  const orAny = (contents: unknown[]) => (contents.length > 0 ? contents : [any]);
  return {
    samples: {
      stored,
      sample: sample ?? any,
      shortest: orAny(shortest),
      longest: orAny(longest),
    },
    failures,
    isExhausted,
  };
}

/** Places that fit the connector's schema with short values and do not with long ones. */
function lengthFindings(
  { contentSchema }: Connector,
  { shortest, longest }: LintSamples,
  schemaFaults: LintOptions['schemaFaults'],
): Finding[] {
  const faultsOf = (contents: readonly unknown[]) =>
    contents.flatMap((content) => schemaFaults(contentSchema, content));
  const always = new Set(faultsOf(shortest).map(({ pointer }) => pointer));
  const found = new Map(
    faultsOf(longest)
      .filter(({ pointer }) => !always.has(pointer))
      .map(({ pointer, detail }) => [pointer, detail]),
  );
  return [...found].map(([pointer, detail]) => ({
    level: 'warning',
    pointer,
    code: 'too-long',
    detail: `with the longest values: ${detail}`,
  }));
}
