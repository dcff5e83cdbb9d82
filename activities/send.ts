/**
 * Stage 5: one attempt to deliver, on the channel account's own queue. The server retries it; what one attempt must know
 * of those before it travels in the heartbeat details that are sent with each failure.
 */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { outcomeUnknown, type SendInput, type SendReport } from '../contracts/activities.ts';
import type { Connector, ConnectorClient } from '../contracts/channel.ts';
import type { To, Variables } from '../contracts/message.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { Problem } from '../contracts/problems.ts';
import type { Reason } from '../contracts/result.ts';
import type { Template } from '../contracts/template.ts';
import { renderContent } from '../templates/index.ts';
import type { Logger } from '../platform/logger.ts';
import type { Clients } from './clients.ts';
import { backoffMs, decide } from './decide.ts';
import { doubtReason, settleDoubt } from './doubt.ts';
import { deliveryKey } from '../platform/delivery-key.ts';
import {
  callsOf,
  firstProgress,
  targetOf,
  withoutDoubt,
  withTarget,
  type End,
  type Progress,
} from './progress.ts';
import type { OpenRequest } from './sealed-request.ts';
import { findTargets, type Target, type TargetsDeps } from './targets.ts';
import type { Tell } from './tell.ts';
import { Timeline, type Told } from './timeline.ts';

export interface SendDeps extends TargetsDeps {
  readonly clients: Clients;
  readonly templateVersion: (
    tenantId: string,
    name: string,
    version: number,
  ) => Promise<Template | undefined>;
  readonly openRequest: OpenRequest;
  /** The shared counter of messages to one recipient. Errors: the problem store-unavailable. */
  readonly admitRecipient: (request: {
    accountId: string;
    recipientHash: string;
    windows: Connector['capabilities']['recipientWindows']['otp'];
    deliveryKey: string;
    nowMs: number;
  }) => Promise<{ admitted: true } | { admitted: false; retryAfterMs: number }>;
  /** Whether this person wants no more through this channel. Errors: the problem store-unavailable. */
  readonly isOptedOut: (person: {
    tenantId: string;
    channel: string;
    recipientHash: string;
  }) => Promise<boolean>;
  readonly tell: Tell;
  readonly logger: Logger;
}

/** What this attempt came to for one address. */
type Step =
  | { readonly next: 'end'; readonly end: End; readonly told?: Told }
  | {
      readonly next: 'later';
      readonly delayMs: number;
      readonly reason: Reason;
      readonly told?: Told;
    };
type Later = Extract<Step, { next: 'later' }>;

/** Makes the send activity. Returns when the provider has the message; every other end is a failure that says why. */
export function createSend(deps: SendDeps) {
  return async function send(input: SendInput): Promise<SendReport> {
    const { info } = Context.current();
    const before = (info.heartbeatDetails as Progress | undefined) ?? firstProgress;
    const attempt = new AttemptRun(deps, { input, before, attempt: info.attempt });
    return attempt.run(info.currentAttemptScheduledTimestampMs);
  };
}

class AttemptRun {
  readonly #deps: SendDeps;
  readonly #input: SendInput;
  readonly #attempt: number;
  #progress: Progress;
  readonly #timeline: Timeline;
  /** Delivery key → when its call was begun, while it is under way. */
  readonly #calling = new Map<string, string>();

  constructor(
    deps: SendDeps,
    { input, before, attempt }: { input: SendInput; before: Progress; attempt: number },
  ) {
    this.#deps = deps;
    this.#input = input;
    this.#attempt = attempt;
    this.#progress = before;
    this.#timeline = new Timeline({
      input,
      tell: deps.tell,
      logger: deps.logger,
      temporalAttempt: attempt,
      before: before.attempts,
    });
  }

  async run(scheduledAtMs: number): Promise<SendReport> {
    try {
      return await this.#run(scheduledAtMs);
    } catch (error) {
      if (error instanceof ApplicationFailure) throw error;
      return await this.#stumble(error);
    }
  }

  /** A server of ours did not answer, or a defect. Before the provider's call nothing is lost by it; in the call it leaves a doubt. */
  async #stumble(error: unknown): Promise<never> {
    const detail = error instanceof Error ? error.message : String(error);
    const { message } = this.#input;
    this.#deps.logger.error(
      { messageId: message.id, accountId: message.accountId, error },
      'delivery.stumbled',
    );
    for (const [key, sentAt] of this.#calling) this.#doubt(key, sentAt);
    await this.#timeline.tellAll(callsOf(this.#progress));
    this.#leave();
    throw ApplicationFailure.create({
      message: detail,
      type: 'internal-error',
      nextRetryDelay: backoffMs(Math.min(this.#attempt, 6), Math.random()),
      details: [
        {
          attempts: callsOf(this.#progress),
          reason: { code: 'internal-error', detail },
        } satisfies SendReport,
      ],
    });
  }

  async #run(scheduledAtMs: number): Promise<SendReport> {
    const { message, redrive } = this.#input;
    const { connector, client } = await this.#deps.clients.of(message.accountId);
    const { to, variables } = this.#deps.openRequest(message);
    const keyOf = (address: To) =>
      deliveryKey({
        messageId: message.id,
        redrive,
        connector: message.connector,
        to: address,
      });
    const targets = await findTargets(this.#deps, { message, connector, to, keyOf });

    // The attempt before this one never concluded: its worker died, perhaps in the middle of a provider's call.
    if (this.#attempt - 1 > this.#progress.lastAttempt)
      for (const { key } of targets) this.#doubt(key, new Date(scheduledAtMs).toISOString());

    const waiting: Later[] = [];
    const open: Target[] = [];
    const pending = targets.filter(({ key }) => targetOf(this.#progress, key).end === undefined);
    await Promise.all(
      pending.map(async (target) => {
        const step = await this.#settle(connector, client, target);
        if (step === undefined) open.push(target);
        else this.#take(target, step, waiting);
      }),
    );
    if (open.length > 0) {
      const held = await this.#hold(connector, keyOf(to));
      const rendered = held ?? (await this.#render(variables));
      if ('next' in rendered) for (const target of open) this.#take(target, rendered, waiting);
      else
        await Promise.all(
          open.map(async (target) =>
            this.#take(
              target,
              await this.#call(connector, client, { ...target, content: rendered.content }),
              waiting,
            ),
          ),
        );
    }
    return waiting.length > 0 ? this.#later(waiting) : this.#conclude();
  }

  /** Marks a call as perhaps taken, unless that address has ended or is in doubt already. */
  #doubt(key: string, sentAt: string): void {
    const target = targetOf(this.#progress, key);
    if (target.end !== undefined || target.doubt !== undefined) return;
    this.#progress = withTarget(this.#progress, key, { ...target, doubt: { sentAt, asked: 0 } });
  }

  #take({ key }: Target, step: Step, waiting: Later[]): void {
    if (step.told !== undefined)
      this.#timeline.note(step.told, step.next === 'later' ? step.delayMs : undefined);
    if (step.next === 'later') waiting.push(step);
    else
      this.#progress = withTarget(this.#progress, key, {
        ...withoutDoubt(targetOf(this.#progress, key)),
        end: step.end,
      });
  }

  /** What the doubt about an earlier call comes to; undefined: this address may be called. */
  async #settle(
    connector: Connector,
    client: ConnectorClient,
    { to, key }: Target,
  ): Promise<Step | undefined> {
    const target = targetOf(this.#progress, key);
    if (target.doubt === undefined) return undefined;
    const answer = await settleDoubt({
      connector,
      client,
      kind: this.#input.message.kind,
      to,
      deliveryKey: key,
      target,
      signal: Context.current().cancellationSignal,
    });
    switch (answer.next) {
      case 'send':
        this.#progress = withTarget(this.#progress, key, withoutDoubt(target));
        return undefined;
      case 'taken': {
        const id = answer.providerId === undefined ? {} : { providerId: answer.providerId };
        return {
          next: 'end',
          end: { isDone: true, ...id },
          told: { outcome: 'reconciled', ...id },
        };
      }
      case 'wait': {
        const { delayMs, asked, detail } = answer;
        const doubt = { ...target.doubt, asked };
        this.#progress = withTarget(this.#progress, key, { ...target, doubt });
        return {
          next: 'later',
          delayMs,
          reason: doubtReason,
          ...(detail !== undefined && {
            told: { outcome: 'reconciled' as const, providerMessage: detail },
          }),
        };
      }
      case 'give-up': {
        const { failureType } = answer;
        return { next: 'end', end: { isDone: false, failureType, reason: doubtReason } };
      }
    }
  }

  /** Why no provider may be called now: too late for it, unwanted, or too many for this person. */
  async #hold(connector: Connector, key: string): Promise<Step | undefined> {
    const { message } = this.#input;
    if (Date.parse(message.expiresAt) <= Date.now())
      return failed('expired', 'expired', 'its life ended before its turn came');
    if (message.kind === 'marketing' && (await this.#deps.isOptedOut(message)))
      return failed(
        'recipient-refused',
        'opted-out',
        'this person said through this channel that they want no marketing',
      );
    const window = await this.#admit(connector, key);
    if (window.admitted) return undefined;
    return {
      next: 'later',
      delayMs: window.retryAfterMs,
      reason: {
        code: 'recipient-window',
        detail: 'this recipient has had as many messages as the channel allows for now',
      },
      told: { outcome: 'recipient-window' },
    };
  }

  /** While the counter cannot be asked the message goes on: the provider has limits of its own, and its refusal only delays. */
  async #admit(connector: Connector, key: string): ReturnType<SendDeps['admitRecipient']> {
    const { message } = this.#input;
    try {
      return await this.#deps.admitRecipient({
        accountId: message.accountId,
        recipientHash: message.recipientHash,
        windows: connector.capabilities.recipientWindows[message.kind],
        deliveryKey: key,
        nowMs: Date.now(),
      });
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'store-unavailable') throw error;
      this.#deps.logger.warn({ messageId: message.id, error }, 'recipient-window.unchecked');
      return { admitted: true };
    }
  }

  async #render(variables: Variables): Promise<Step | { readonly content: unknown }> {
    const { message, templateVersion } = this.#input;
    const { tenantId, template: name } = message;
    const template = await this.#deps.templateVersion(tenantId, name, templateVersion);
    const invalid = (detail: string) => failed('template-invalid', 'template-invalid', detail);
    if (template === undefined) return invalid(`version ${templateVersion} of ${name} is gone`);
    const rendered = renderContent(template, message.connector, variables);
    return rendered.result === 'template-error'
      ? invalid(rendered.detail)
      : { content: rendered.content };
  }

  async #call(
    connector: Connector,
    client: ConnectorClient,
    { to, key, content }: Target & { readonly content: unknown },
  ): Promise<Step> {
    const sentAt = new Date().toISOString();
    this.#calling.set(key, sentAt);
    const signal = Context.current().cancellationSignal;
    const outcome = await client.send({ to, content, deliveryKey: key, signal });
    this.#calling.delete(key);
    if (outcome.class === 'recipient-invalid' && connector.hasDevices === true)
      await this.#deps.forgetDevice(this.#input.message.accountId, to, new Date(sentAt));
    return this.#judge(connector, outcome, { key, sentAt });
  }

  async #judge(
    connector: Connector,
    outcome: SendOutcome,
    { key, sentAt }: { key: string; sentAt: string },
  ): Promise<Step> {
    const before = targetOf(this.#progress, key);
    // One wrong robot is no reason to hold all of them.
    const isHeld = connector.capabilities.hasCredentialsPerRecipient !== true;
    const decision = decide({
      outcome,
      callsBefore: before.calls,
      attemptBudget: connector.capabilities.attemptBudget,
      nowMs: Date.now(),
      isHeld,
      random: Math.random(),
    });
    const told: Told = {
      outcome: outcome.class,
      ...(outcome.providerCode !== undefined && { providerCode: outcome.providerCode }),
      ...(outcome.providerMessage !== undefined && { providerMessage: outcome.providerMessage }),
    };
    const counted = { ...before, calls: before.calls + 1 };
    if (decision.next !== 'retry' || decision.counts)
      this.#progress = withTarget(this.#progress, key, counted);
    switch (decision.next) {
      case 'done': {
        const id = decision.providerId === undefined ? {} : { providerId: decision.providerId };
        return { next: 'end', end: { isDone: true, ...id }, told: { ...told, ...id } };
      }
      case 'retry':
        if (decision.alert)
          await this.#deps.tell.accountAtFault({
            message: this.#input.message,
            reason: decision.reason,
            isWhole: isHeld,
            ...(outcome.class === 'quota-exhausted' &&
              outcome.resumeAt !== undefined && { resumeAt: outcome.resumeAt }),
          });
        return { next: 'later', delayMs: decision.delayMs, reason: decision.reason, told };
      case 'doubt': {
        const doubt = { sentAt, asked: 0 };
        this.#progress = withTarget(this.#progress, key, { ...counted, doubt });
        const { reconcileAfterMs, dedupe } = connector.capabilities;
        // Where a repeat does no harm there is nothing to wait for but the provider's recovery.
        const delayMs =
          dedupe.by === 'none' && reconcileAfterMs > 0
            ? reconcileAfterMs
            : backoffMs(before.calls, Math.random());
        return { next: 'later', delayMs, reason: decision.reason, told };
      }
      case 'give-up': {
        const { failureType, reason } = decision;
        return { next: 'end', end: { isDone: false, failureType, reason }, told };
      }
    }
  }

  /** Every address has come to its end: done when one of them has the message. */
  async #conclude(): Promise<SendReport> {
    const ends = Object.values(this.#progress.targets).flatMap(({ end }) => end ?? []);
    const { last } = this.#timeline;
    await this.#timeline.tellAllButLast(callsOf(this.#progress));
    const done = ends.find((end) => end.isDone);
    if (done !== undefined) {
      this.#timeline.log('done');
      return {
        attempts: callsOf(this.#progress),
        ...(last !== undefined && { attempt: last }),
        ...(done.providerId !== undefined && { providerId: done.providerId }),
      };
    }
    const failures = ends.filter((end) => !end.isDone);
    // One that may have been sent is the honest answer for them all.
    const failure = failures.find((end) => end.failureType === outcomeUnknown) ??
      failures.at(-1) ?? {
        failureType: 'recipient-invalid',
        reason: {
          code: 'no-device',
          detail: 'this user has no device registered at this channel account',
        },
      };
    return this.#giveUp(failure.failureType, failure.reason);
  }

  /** Leaves the progress for the next attempt and has the server call again when the first address is due. */
  async #later(waiting: readonly Later[]): Promise<SendReport> {
    const soonest = waiting.reduce((least, step) => (step.delayMs < least.delayMs ? step : least));
    const { reason, delayMs } = soonest;
    // Some device has it, and the others' turn would come too late: it is sent.
    const isTooLate = Date.now() + delayMs >= Date.parse(this.#input.message.expiresAt);
    if (isTooLate && Object.values(this.#progress.targets).some(({ end }) => end?.isDone === true))
      return this.#conclude();
    await this.#timeline.tellAll(callsOf(this.#progress), soonest);
    this.#timeline.log('retry');
    this.#leave();
    const nextAttemptAt = new Date(Date.now() + delayMs).toISOString();
    throw ApplicationFailure.create({
      message: `${inWords(reason)}; next attempt at ${nextAttemptAt}`,
      type: reason.code,
      nextRetryDelay: Math.max(1, Math.round(delayMs)),
      category: ApplicationFailureCategory.BENIGN,
      details: [{ attempts: callsOf(this.#progress), reason } satisfies SendReport],
    });
  }

  /** What the next attempt must know. */
  #leave(): void {
    this.#progress = {
      ...this.#progress,
      lastAttempt: this.#attempt,
      attempts: this.#progress.attempts + this.#timeline.length,
    };
    Context.current().heartbeat(this.#progress);
  }

  #giveUp(failureType: string, reason: Reason): never {
    const { last } = this.#timeline;
    this.#timeline.log('give-up');
    throw ApplicationFailure.create({
      message: inWords(reason),
      type: failureType,
      nonRetryable: true,
      category: ApplicationFailureCategory.BENIGN,
      details: [
        {
          attempts: callsOf(this.#progress),
          reason,
          ...(last !== undefined && { attempt: last }),
        } satisfies SendReport,
      ],
    });
  }
}

const failed = (failureType: string, code: string, detail: string): Step => ({
  next: 'end',
  end: { isDone: false, failureType, reason: { code, detail } },
});

const inWords = ({ code, detail }: Reason) => (detail === undefined ? code : `${code}: ${detail}`);
