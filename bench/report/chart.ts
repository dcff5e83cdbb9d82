/** A plot of throughput, latency and memory over a run, as SVG. */
import { LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Series } from '../bench.ts';
import type { Point } from '../measure/latencies.ts';

use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const width = 960;
const height = 440;
const colors = ['#2563eb', '#9ca3af', '#059669', '#d97706', '#7c3aed', '#dc2626'];
/** Every line of the legend takes so much. */
const legendRow = 24;
const legendColumns = 3;

export interface ChartOptions {
  readonly title: string;
  readonly series: readonly Series[];
  /** Messages stand on a logarithmic axis. */
  readonly x: 'seconds' | 'messages';
}

/** The lines of a run by the second: its rate, and p50 and p99 where it has latencies. */
export function linesOf(what: string, points: readonly Point[]): Series[] {
  const latency = (name: string, key: 'p50Ms' | 'p99Ms'): Series[] => {
    const known = points.flatMap(({ atSecond, [key]: value }) =>
      value === undefined ? [] : [[atSecond, value] as const],
    );
    return known.length === 0 ? [] : [{ what: `${what}, ${name}`, unit: 'ms', points: known }];
  };
  return [
    { what, unit: '/s', points: points.map(({ atSecond, perSecond }) => [atSecond, perSecond]) },
    ...latency('p50', 'p50Ms'),
    ...latency('p99', 'p99Ms'),
  ];
}

/** Draws it: messages a second on the left axis, milliseconds and megabytes on the right one. */
export function drawChart({ title, series, x }: ChartOptions): string {
  const rightUnits = [...new Set(series.flatMap(({ unit }) => (unit === '/s' ? [] : [unit])))];
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
      legend: { bottom: 0, left: 'center', width: width - 100 },
      grid: {
        left: 80,
        right: 80,
        top: 60,
        bottom: 50 + legendRow * Math.ceil(series.length / legendColumns),
      },
      xAxis: {
        type: x === 'messages' ? 'log' : 'value',
        name: x,
        nameLocation: 'middle',
        nameGap: 28,
        min: 'dataMin',
        max: 'dataMax',
      },
      yAxis: [
        { type: 'value', name: 'messages a second', min: 0 },
        { type: 'value', name: rightUnits.join(', '), min: 0, splitLine: { show: false } },
      ],
      series: series.map(({ what, unit, points }, place) => {
        const color = colors[place % colors.length] ?? '#000000';
        const isRate = unit === '/s';
        return {
          type: 'line' as const,
          name: `${what}, ${unit}`,
          data: points.map((point) => [...point]),
          showSymbol: points.length < 10,
          yAxisIndex: isRate ? 0 : 1,
          lineStyle: { color, width: isRate ? 2 : 1, type: isRate ? 'solid' : 'dashed' },
          itemStyle: { color },
        };
      }),
    });
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}
