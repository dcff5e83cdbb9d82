/** Figures as Markdown tables, which are readable in a terminal too. */
import { isReached, ratioOf, type Figure, type Goal } from '../bench.ts';
import { inWords } from './machine.ts';
import type { Report } from './report.ts';

/** Of each of our processes, under these loads. */
const mostMegabytes = 300;

/** Three digits that matter, thousands apart. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const rounded = Number(value.toFixed(Math.min(digits, 3)));
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 3 });
}

const withUnit = (value: number, unit: string) =>
  `${formatNumber(value)}${unit === '' || unit.startsWith('/') || unit === '%' ? unit : ` ${unit}`}`;

function goalText({ of, atLeast, atMost }: Goal, unit: string): string {
  const bound = (value: number) => (of === 'value' ? withUnit(value, unit) : `${value} of it`);
  return [
    ...(atLeast === undefined ? [] : [`≥ ${bound(atLeast)}`]),
    ...(atMost === undefined ? [] : [`≤ ${bound(atMost)}`]),
  ].join(', ');
}

function figureRow(figure: Figure): readonly string[] {
  const { what, value, unit, limit, goals = [] } = figure;
  const ratio = ratioOf(figure);
  const reached = isReached(figure);
  return [
    what,
    withUnit(value, unit),
    limit === undefined ? '' : `${withUnit(limit.value, unit)} (${limit.what})`,
    ratio === undefined ? '' : ratio.toFixed(2),
    goals.map((goal) => goalText(goal, unit)).join(', '),
    reached === undefined ? '' : reached ? 'yes' : 'no',
  ];
}

/** A table whose columns stand under one another, as prettier writes it. */
export function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`;
  return [
    line(header),
    `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`,
    ...rows.map(line),
  ].join('\n');
}

/** Everything of a run: the machine, figures, CPU per message by process, most memory by process. */
export function reportTables({ machine, benches, peakBytes }: Report): string {
  const figures = benches.flatMap(({ result }) => result.figures);
  const costs = benches.flatMap(({ result }) => result.costs ?? []);
  const processes = [...new Set(costs.flatMap((cost) => Object.keys(cost.cpuPerMessageUs)))];
  const parts = [
    `${inWords(machine)}.`,
    markdownTable(
      ['figure', 'value', 'beside it', 'ratio', 'goal', 'reached'],
      figures.map(figureRow),
    ),
  ];
  if (costs.length > 0)
    parts.push(
      'CPU per message in µs, by process (`harness` and `load` are the benchmark itself):',
      markdownTable(
        ['message', ...processes],
        costs.map(({ what, cpuPerMessageUs }) => [
          what,
          ...processes.map((name) => {
            const us = cpuPerMessageUs[name];
            return us === undefined ? '' : formatNumber(us);
          }),
        ]),
      ),
    );
  const peaks = Object.entries(peakBytes);
  if (peaks.length > 0)
    parts.push(
      'Most memory that one process held under these loads:',
      markdownTable(
        ['process', 'most', 'goal', 'reached'],
        peaks.map(([name, bytes]) => [
          name,
          withUnit(bytes / 1e6, 'MB'),
          `≤ ${mostMegabytes} MB`,
          bytes / 1e6 <= mostMegabytes ? 'yes' : 'no',
        ]),
      ),
    );
  return parts.join('\n\n');
}
