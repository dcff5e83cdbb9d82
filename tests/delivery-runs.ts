/**
 * Runs of the real workflow bundle against a provider side that a test writes down beforehand: what each render and each
 * call come to. For what only a server of Temporal's shows: days that are skipped, histories that are recorded.
 */
import { fileURLToPath } from 'node:url';
import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import {
  Runtime,
  Worker,
  bundleWorkflowCode,
  makeTelemetryFilterString,
  type Logger,
  type WorkerOptions,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import {
  accountAtFault,
  attemptsExhausted,
  paused,
  recalled,
  type LocalActivities,
  type RenderInput,
  type RenderResult,
  type SendActivities,
  type SendInput,
  type SendReport,
} from '../contracts/activities.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import { sequences, type Attempt, type Snapshot } from '../contracts/result.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import { deliverWorkflow, type DeliverInput } from '../contracts/workflows.ts';
import type { Config } from '../platform/config.ts';
import { createSealer } from '../platform/seal.ts';
import { createDataConverter, messageAttributes } from '../platform/temporal-client.ts';
import { versioningOf } from '../platform/temporal-worker.ts';
import { sampleAccepted } from './message-samples.ts';

/** A fixed key: recorded histories are read with it years later. It has never sealed anything but samples. */
export const dataConverter = createDataConverter(
  createSealer([`replay:${Buffer.alloc(32, 'message-center-replay').toString('base64')}`]),
);

/** Who works on the runs, instead of this machine's name. */
export const recorder = 'recorder';

const quiet: Logger = {
  log() {},
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error: console.error,
};

/** Keeps the SDK from logging each failure that a script asked for. Before the first connection. */
export function installQuietRuntime(): void {
  const filter = makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' });
  Runtime.install({ logger: quiet, telemetryOptions: { logging: { filter, forward: {} } } });
}

/** What one call of a provider comes to. */
export type Answer =
  | { readonly is: 'accepted'; readonly providerId: string }
  /** Called again after `delayMs`; `transient` counts as an attempt, `rate-limited` does not. */
  | { readonly is: 'transient' | 'rate-limited'; readonly delayMs: number }
  | { readonly is: 'refused'; readonly type: string }
  /** Nothing was heard; `delayMs`: until it is settled. */
  | { readonly is: 'ambiguous'; readonly delayMs: number }
  /** The call never ends, and its worker takes no other: as if it were gone. */
  | { readonly is: 'silence' }
  | { readonly is: 'exhausted' | 'account-at-fault' | 'paused' | 'recalled' };

export const accepted = (providerId: string): Answer => ({ is: 'accepted', providerId });
export const refused = (type = 'recipient-invalid'): Answer => ({ is: 'refused', type });

/** What a run meets. Of each list the last entry holds on. */
export interface Script {
  /** Default: it renders, version 1. */
  readonly renders?: readonly RenderResult[];
  /** Account id → its answers. An account that is not here has no worker. */
  readonly answers: Readonly<Record<string, readonly Answer[]>>;
}

export const rendered = (
  templateVersion = 1,
  attemptTimeoutMs = 15_000,
): Extract<RenderResult, { next: 'send' }> => ({ next: 'send', templateVersion, attemptTimeoutMs });

/** How the failures of send end a run; whether the provider was called before. */
const endings = {
  exhausted: { type: attemptsExhausted, calls: 1 },
  'account-at-fault': { type: accountAtFault, calls: 0 },
  paused: { type: paused, calls: 0 },
  recalled: { type: recalled, calls: 0 },
} as const;

interface Progress {
  readonly calls: number;
  readonly told: number;
  readonly isInDoubt: boolean;
}

/** The provider side of one run: keeps the contracts of the activities, on the server's clock, which may be skipped. */
export class ProviderSide {
  /** Everything that was told, in that order. */
  readonly snapshots: Snapshot[] = [];
  /** Every attempt that was made, with the template version it would have sent. */
  readonly sends: { readonly input: SendInput; readonly attempt?: Attempt }[] = [];
  readonly renders: RenderInput[] = [];
  /** May be changed while the run waits. */
  readonly script: { -readonly [K in keyof Script]: Script[K] };
  readonly #now: () => Promise<number>;
  readonly #asked = new Map<string, number>();
  #leave: () => void = () => undefined;
  readonly #gone = new Promise<void>((resolve) => {
    this.#leave = resolve;
  });

  constructor(script: Script, now: () => Promise<number>) {
    this.script = { ...script };
    this.#now = now;
  }

  /** Provider calls that were concluded. */
  get calls(): number {
    return this.#calls;
  }
  #calls = 0;

  readonly local: LocalActivities = {
    render: async (input) => {
      this.renders.push(input);
      return this.#next('render', this.script.renders ?? [rendered()]);
    },
    report: async (snapshot) => {
      this.snapshots.push(snapshot);
    },
  };
  readonly remote: SendActivities = { send: (input) => this.#send(input) };

  /** Ends what was silent. */
  leave(): void {
    this.#leave();
  }

  #next<T>(key: string, steps: readonly T[]): T {
    const asked = this.#asked.get(key) ?? 0;
    this.#asked.set(key, asked + 1);
    const step = steps[Math.min(asked, steps.length - 1)];
    if (step === undefined) throw new Error(`the script has nothing for ${key}`);
    return step;
  }

  async #send(input: SendInput): Promise<SendReport> {
    const { message } = input;
    const { info } = Context.current();
    const nowMs = await this.#now();
    const before = (info.heartbeatDetails as Progress | undefined) ?? {
      calls: 0,
      told: 0,
      isInDoubt: false,
    };
    const end = (type: string, report: SendReport) =>
      ApplicationFailure.create({ message: type, type, nonRetryable: true, details: [report] });
    if (Date.parse(message.expiresAt) <= nowMs) {
      const type = before.isInDoubt ? 'outcome-unknown' : 'expired';
      const told = input.toldBefore + before.told;
      throw end(type, { attempts: before.calls, told, reason: { code: type } });
    }
    const answer = this.#next(message.accountId, this.script.answers[message.accountId] ?? []);
    const attempt = (outcome: Attempt['outcome']): Attempt => {
      const made: Attempt = {
        number: input.toldBefore + before.told + 1,
        startedAt: new Date(nowMs).toISOString(),
        durationMs: 1,
        accountId: message.accountId,
        outcome,
      };
      this.sends.push({ input, attempt: made });
      return made;
    };
    const report = (calls: 0 | 1, made?: Attempt) => {
      this.#calls += calls;
      return {
        attempts: before.calls + calls,
        told: input.toldBefore + before.told + (made === undefined ? 0 : 1),
        ...(made !== undefined && { attempt: made }),
      };
    };
    switch (answer.is) {
      case 'accepted': {
        const { providerId } = answer;
        return { ...report(1, attempt('accepted')), providerId };
      }
      case 'refused': {
        const { type } = answer;
        throw end(type, { ...report(1, attempt('recipient-invalid')), reason: { code: type } });
      }
      case 'silence': {
        this.sends.push({ input });
        await this.#gone;
        throw new Error('nobody listens any more');
      }
      case 'exhausted':
      case 'account-at-fault':
      case 'paused':
      case 'recalled': {
        const { type, calls } = endings[answer.is];
        const made = calls > 0 ? attempt('transient') : undefined;
        throw end(type, { ...report(calls, made), reason: { code: type } });
      }
      case 'transient':
      case 'rate-limited':
      case 'ambiguous': {
        const { is: code, delayMs } = answer;
        const { attempt: made, ...rest } = report(code === 'rate-limited' ? 0 : 1, attempt(code));
        const { attempts: calls } = rest;
        const isInDoubt = code === 'ambiguous';
        this.snapshots.push({
          ...snapshotBase(message),
          status: 'retrying',
          redrive: input.redrive,
          sequence: sequences.attempt(input.round, before.told + 1),
          updatedAt: new Date(nowMs).toISOString(),
          attempts: input.callsBefore + calls,
          reason: { code },
          ...(made !== undefined && { attempt: made }),
        });
        const left: Progress = { calls, told: before.told + 1, isInDoubt };
        Context.current().heartbeat(left);
        throw ApplicationFailure.create({
          message: code,
          type: code,
          nextRetryDelay: delayMs,
          details: [{ ...rest, reason: { code }, ...(isInDoubt && { isInDoubt: true }) }],
        });
      }
    }
  }
}

/** The bundle that the bridge runs, or one made of another entrance. */
export function bundleWorkflows(
  workflowsPath = fileURLToPath(
    new URL(`../workflows/index.${import.meta.url.slice(-2)}`, import.meta.url),
  ),
): Promise<WorkflowBundleWithSourceMap> {
  const { failureConverterPath } = dataConverter;
  return bundleWorkflowCode({
    workflowsPath,
    ...(failureConverterPath !== undefined && { failureConverterPath }),
    logger: quiet,
  });
}

type Version = Pick<Config, 'temporalDeployment' | 'temporalBuildId'>;

export interface DeliveryOf {
  readonly environment: TestWorkflowEnvironment;
  readonly workflowBundle: WorkflowBundleWithSourceMap;
  readonly script: Script;
  /** The first account of `accounts` is the message's own. */
  readonly message?: Partial<AcceptedMessage>;
  /** The ways: connector and account id. Default: sms through acc_sms. */
  readonly ways?: readonly (readonly [connector: string, accountId: string])[];
  readonly lifeMs?: number;
  readonly isRecalled?: true;
  /** Build of the workflow worker, where it is versioned. */
  readonly version?: Version;
}

export interface Delivery {
  readonly side: ProviderSide;
  readonly handle: WorkflowHandleWithFirstExecutionRunId;
  /** Puts a worker of another version beside those that serve it. */
  addVersion(version: Version): Promise<void>;
  /** Waits for the end; `failed` ones are no error here. */
  ended(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts workers and one delivery. `stop` it before its environment goes. */
export async function startDelivery(of: DeliveryOf): Promise<Delivery> {
  const { environment, workflowBundle, ways = [['sms-aliyun', 'acc_sms']] } = of;
  const nowMs = await environment.currentTimeMs();
  const routes = ways.map(([connector, accountId]) => ({
    connector,
    channel: connector.split('-', 1)[0] ?? connector,
    accountId,
  }));
  const message = sampleAccepted({
    acceptedAt: new Date(nowMs).toISOString(),
    expiresAt: new Date(nowMs + (of.lifeMs ?? 86_400_000)).toISOString(),
    kind: 'notice',
    priority: 'normal',
    ...routes[0],
    ...(routes.length > 1 && { routes }),
    ...of.message,
  });
  const sendQueue = (accountId: string) => `${message.id}-${accountId}`;
  const side = new ProviderSide(of.script, () => environment.currentTimeMs());
  const common = {
    connection: environment.nativeConnection,
    namespace: environment.namespace ?? 'default',
    dataConverter,
    identity: recorder,
  };
  const workers: Worker[] = [];
  const running: Promise<void>[] = [];
  const serve = async (options: Omit<WorkerOptions, keyof typeof common>) => {
    const worker = await Worker.create({ ...common, ...options });
    workers.push(worker);
    running.push(worker.run());
  };
  const addVersion = (version: Version) =>
    serve({
      ...versioningOf(version),
      taskQueue: message.id,
      workflowBundle,
      activities: { ...side.local },
      maxConcurrentWorkflowTaskPolls: 2,
    });
  await Promise.all([
    addVersion(of.version ?? { temporalDeployment: '', temporalBuildId: '' }),
    ...Object.keys(of.script.answers).map((accountId) =>
      serve({
        taskQueue: sendQueue(accountId),
        activities: { ...side.remote },
        maxConcurrentActivityTaskExecutions: 1,
        maxConcurrentActivityTaskPolls: 1,
      }),
    ),
  ]);
  const input: DeliverInput = {
    version: 1,
    message,
    redrive: 0,
    routes: routes.map((route) => ({ ...route, sendQueue: sendQueue(route.accountId) })),
    ...(of.isRecalled && { isRecalled: true as const }),
  };
  const handle = await environment.client.workflow.start(deliverWorkflow, {
    workflowId: message.id,
    taskQueue: message.id,
    args: [input],
    typedSearchAttributes: messageAttributes(message),
    // Without one the clock that skips jumps ten years once nothing else is due.
    workflowExecutionTimeout: '300 days',
  });
  return {
    side,
    handle,
    addVersion,
    ended: () =>
      handle.result().then(
        () => undefined,
        () => undefined,
      ),
    stop: async () => {
      side.leave();
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
    },
  };
}
