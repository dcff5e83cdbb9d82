/**
 * Loaded by `--import` into each of our processes when profiles were asked for; plain JavaScript, because they run without a
 * loader. SIGUSR2 begins a CPU profile of every thread, the next one writes them to the folder that the script's own URL names after
 * `?`: only what is measured is in.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { isMainThread, threadId } from 'node:worker_threads';

const folder = decodeURIComponent(new URL(import.meta.url).search.slice(1));
const session = new Session();
session.connect();
await session.post('Profiler.enable');
let profiles = 0;
let isOn = false;

async function toggle() {
  isOn = !isOn;
  if (isOn) return session.post('Profiler.start');
  const { profile } = await session.post('Profiler.stop');
  const name = `${process.pid}-${threadId}-${(profiles += 1)}.cpuprofile`;
  writeFileSync(join(folder, name), JSON.stringify(profile));
}

// Signals come to the main thread alone.
const threads = new BroadcastChannel('bench-profiles');
threads.unref();
threads.addEventListener('message', () => void toggle());
if (isMainThread)
  process.on('SIGUSR2', () => {
    // A channel between threads has no origin.
    // oxlint-disable-next-line unicorn/require-post-message-target-origin
    threads.postMessage(undefined);
    void toggle();
  });
