/** `npm run check`: types, lint, format, generated files, unused code. The same on a laptop and in CI. */
import { spawnSync } from 'node:child_process';

const bin = (name: string) => `node_modules/.bin/${name}`;
const steps: [string, string, string[]][] = [
  ['types', bin('tsc'), ['-p', '.']],
  ['types of workflows (no Node)', bin('tsc'), ['-p', 'workflows']],
  ['lint', bin('oxlint'), ['--deny-warnings']],
  ['format', bin('prettier'), ['--check', '--log-level', 'warn', '.']],
  ['generated files', process.execPath, ['--import', 'tsx', 'tests/generate.ts', '--check']],
  ['unused code', bin('knip'), ['--no-progress']],
];
const failed: string[] = [];
for (const [name, command, args] of steps) {
  const startedAt = Date.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  console.log(
    `${status === 0 ? '✔' : '✖'} ${name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`,
  );
  if (status !== 0) {
    failed.push(name);
    console.log(`${stdout}${stderr}`);
  }
}
if (failed.length > 0) console.log(`check failed: ${failed.join(', ')}`);
process.exit(failed.length === 0 ? 0 : 1);
