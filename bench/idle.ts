/** What the whole product takes when nothing happens, with an account of every channel, as `npm start` has it. */
import { pause } from '../platform/lifecycle.ts';
import { serviceNames } from '../stack/services.ts';
import type { Bench, Figure } from './bench.ts';
import { ourProcesses } from './system.ts';

const settleMs = 15_000;
const lookMs = 30_000;

export const idle: Bench = {
  name: 'idle',
  summary: 'CPU of all processes while nothing happens',
  run: async (place) => {
    const system = await place.startSystem({ processes: serviceNames, hasAllChannels: true });
    await pause(settleMs);
    const watching = place.watch(system);
    await pause(lookMs);
    const { cpuUs, seconds } = watching.stop();
    const percent = (names: readonly string[]) =>
      (names.reduce((sum, name) => sum + (cpuUs[name] ?? 0), 0) / seconds / 1e6) * 100;
    const each = ourProcesses.map((name): Figure => ({
      what: `idle: ${name}`,
      value: percent([name]),
      unit: '%',
    }));
    return {
      figures: [
        {
          what: 'idle: all processes of ours, of one core',
          value: percent(ourProcesses),
          unit: '%',
          goals: [{ of: 'value', atMost: 5 }],
        },
        ...each,
        ...place.servers.watched.map(({ name }): Figure => ({
          what: `idle: ${name}`,
          value: percent([name]),
          unit: '%',
        })),
      ],
    };
  },
};
