/** Loads and limits run in processes of their own, so that what they cost is told apart from what is measured. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ParseOnlyOptions } from './parse-only.ts';
import type { PostOptions, PostResult } from './post-messages.ts';
import type { RunBareOptions, RunBareResult } from './run-bare.ts';
import type { SendRawOptions, SendRawResult } from './send-raw.ts';
import type { ServeBareOptions } from './serve-bare.ts';
import type { Word } from './serve.ts';
import type { WriteRawOptions, WriteRawResult } from './write-raw.ts';

/** The scripts of this folder, what they are told and what they measure; those without a result serve until they are killed. */
export interface Loads {
  readonly 'post-messages': { readonly options: PostOptions; readonly result: PostResult };
  readonly 'parse-only': { readonly options: ParseOnlyOptions; readonly result: null };
  readonly 'send-raw': { readonly options: SendRawOptions; readonly result: SendRawResult };
  readonly 'run-bare': { readonly options: RunBareOptions; readonly result: RunBareResult };
  readonly 'serve-bare': { readonly options: ServeBareOptions; readonly result: null };
  readonly 'write-raw': { readonly options: WriteRawOptions; readonly result: WriteRawResult };
}
export type LoadScript = keyof Loads;

export interface RunningLoad<Result> {
  readonly pid: number;
  /** Resolves when it has warmed up and waits. */
  readonly warm: Promise<void>;
  /** Lets it begin; resolves with what it measured. */
  readonly begin: () => Promise<Result>;
  /** Ends it, whatever it does. */
  readonly kill: () => Promise<void>;
}

/** Starts a script with its options. Errors, from `warm` and `begin`: it failed, with its own words. */
export function startLoad<S extends LoadScript>(
  script: S,
  options: Loads[S]['options'],
): RunningLoad<Loads[S]['result']> {
  type Result = Loads[S]['result'];
  const child = fork(fileURLToPath(new URL(`./${script}.ts`, import.meta.url)));
  const exited = once(child, 'exit');
  let onWarm = () => {};
  let onDone: (result: Result) => void = () => {};
  let onFailed: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => (onFailed = reject));
  // Met by whoever waits; nobody does in between.
  failed.catch(() => {});
  const warm = new Promise<void>((resolve) => (onWarm = resolve));
  const done = new Promise<Result>((resolve) => (onDone = resolve));
  child.on('message', (said: Word<Result>) => {
    if (said.word === 'warm') onWarm();
    else if (said.word === 'done') onDone(said.result);
    else onFailed(new Error(`${script}: ${said.why}`));
  });
  child.once('exit', (code, signal) =>
    onFailed(new Error(`${script} ended (${signal ?? `code ${code}`})`)),
  );
  child.send(options);
  return {
    pid: child.pid ?? 0,
    warm: Promise.race([warm, failed]),
    begin: () => {
      child.send('begin');
      return Promise.race([done, failed]);
    },
    kill: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
}
