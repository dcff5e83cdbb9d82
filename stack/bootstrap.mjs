/**
 * Runs a TypeScript file of this project: `node stack/bootstrap.mjs <script.ts> [arguments]`.
 * Works on a fresh clone: checks Node, installs the packages when they are not what package-lock.json says.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const lockFile = join(root, 'package-lock.json');
const modulesDir = join(root, 'node_modules');
const stampFile = join(modulesDir, '.message-center-lock-hash');

requireNode(20, 19);
installWhenNeeded();
run(process.argv.slice(2));

function requireNode(major, minor) {
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number);
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return;
  fail(
    `Node ${major}.${minor} or newer is needed and this is ${process.versions.node} (${process.execPath}).`,
  );
}

function installWhenNeeded() {
  const hash = createHash('sha256').update(readFileSync(lockFile)).digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === hash) return;
  if (!isInstalled()) install();
  writeFileSync(stampFile, hash);
}

/** Whether npm's own record of what it installed agrees with the lock, as after an `npm install` by hand. */
function isInstalled() {
  const recordFile = join(modulesDir, '.package-lock.json');
  if (!existsSync(recordFile)) return false;
  const wanted = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const installed = JSON.parse(readFileSync(recordFile, 'utf8')).packages;
  const isSame = (path) => wanted[path]?.version === installed[path]?.version;
  return (
    Object.keys(installed).every(isSame) &&
    Object.keys(wanted).every((path) => path === '' || wanted[path].optional || isSame(path))
  );
}

function install() {
  const startedAt = Date.now();
  console.error(
    'Installing the packages of package-lock.json with npm; this takes a minute or two, once.',
  );
  const quiet = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  let result = npm(['ci', ...quiet]);
  // npm ci refuses a lock without the optional packages of all other platforms, which is what npm writes when its
  // registry lacks some of them. npm install takes the same versions from the same lock, and leaves it as it is.
  if (result.status !== 0 && result.stderr.includes('EUSAGE'))
    result = npm(['install', '--no-save', ...quiet]);
  if (result.status !== 0)
    fail(`${result.stderr}\nnpm ended with code ${result.status}; its words are above.`);
  console.error(`Installed in ${Math.round((Date.now() - startedAt) / 1000)} s.`);
}

function npm(args) {
  const result = spawnSync('npm', args, {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (result.error) fail(`npm could not be started: ${result.error.message}.`);
  return result;
}

function run([script, ...args]) {
  if (script === undefined) fail('Usage: node stack/bootstrap.mjs <script.ts> [arguments]');
  const loader = pathToFileURL(createRequire(lockFile).resolve('tsx')).href;
  const child = spawn(process.execPath, ['--import', loader, script, ...args], {
    stdio: 'inherit',
  });
  // Ctrl-C reaches the script from the terminal as well: it must take a repeated signal as one.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`${script} could not be started: ${error.message}.`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}
