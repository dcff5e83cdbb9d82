/**
 * Stage 5: one attempt to deliver, on the channel account's own queue. The server retries it; what one attempt must know
 * of those before it travels in the heartbeat details that are sent with each failure.
 */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import {
  accountAtFault,
  dataExpired,
  outcomeUnknown,
  paused,
  recalled,
  suppressed,
  type SendInput,
  type SendReport,
} from '../contracts/activities.ts';
import type { Connector, ConnectorClient } from '../contracts/channel.ts';
import type { AcceptedMessage, To, Variables } from '../contracts/message.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { Problem } from '../contracts/problems.ts';
import type { Reason } from '../contracts/result.ts';
import type { Template } from '../contracts/template.ts';
import type { StopVerdict } from '../store/index.ts';
import { renderContent } from '../templates/index.ts';
import type { AccountHealth, Leave } from './account-health.ts';
import type { Clients } from './clients.ts';
import { lacksConsent, type ConsentDeps } from './consent.ts';
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
import { endIfExpired, type OpenRequest } from './sealed-request.ts';
import { endWithoutTarget, findTargets, type Target, type TargetsDeps } from './targets.ts';
import type { Tell } from './tell.ts';
import { toTold, Timeline, type Told } from './timeline.ts';
import { inWords, pausedRetryMs, providerAway, providerAwayReason, blindRetryMs } from './waits.ts';

export interface SendDeps extends TargetsDeps, ConsentDeps {
  readonly clients: Clients;
  /** Of all accounts, and of their chunks, in this process. */
  readonly health: AccountHealth;
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
  /** Whether people have recalled or paused it. */
  readonly stopOf: (message: AcceptedMessage) => StopVerdict;
  readonly tell: Tell;
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
      triedBefore: before.tried ?? {},
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
      details: [this.#report({ code: 'internal-error', detail })],
    });
  }

  async #run(scheduledAtMs: number): Promise<SendReport> {
    // An operator has reset it: Temporal counts anew, and so must what the next attempt compares with.
    if (this.#attempt === 1 && this.#progress.lastAttempt > 0) {
      this.#progress = { ...this.#progress, lastAttempt: 0 };
      Context.current().heartbeat(this.#progress);
    }
    const { message, redrive } = this.#input;
    const { connector, client } = await this.#deps.clients.of(message.accountId);
    const request = await endIfExpired(() => this.#deps.openRequest(message));
    // A call that was never heard of may have been taken; nobody can be asked any more.
    if ('code' in request)
      return this.#giveUp(this.#isUnheard ? outcomeUnknown : dataExpired, request);
    const { to, variables } = request;
    const keyOf = (address: To) =>
      deliveryKey({
        messageId: message.id,
        redrive,
        connector: message.connector,
        to: address,
      });
    const targets = await findTargets(this.#deps, { message, connector, to, keyOf });

    if (this.#isUnheard)
      for (const { key } of targets) this.#doubt(key, new Date(scheduledAtMs).toISOString());

    const leave = this.#askLeave(connector);
    if (!leave.mayCall) {
      const away = providerAway(leave);
      const isInDoubt = targets.some(
        ({ key }) => targetOf(this.#progress, key).doubt !== undefined,
      );
      if (this.#input.hasStandIn && leave.why === 'down' && !isInDoubt)
        return this.#giveUp(accountAtFault, away.reason);
      return this.#later([{ next: 'later', ...away }], connector);
    }
    try {
      return await this.#deliver({ connector, client, targets, variables, key: keyOf(to) });
    } finally {
      leave.done();
    }
  }

  /** One endpoint or robot of many says nothing of the others. */
  #askLeave({ capabilities }: Connector): Leave {
    return capabilities.hasCredentialsPerRecipient === true
      ? { mayCall: true, done: () => {} }
      : this.#deps.health.ask(this.#input.message.accountId, this.#input.message.id);
  }

  async #deliver({
    connector,
    client,
    targets,
    variables,
    key,
  }: {
    readonly connector: Connector;
    readonly client: ConnectorClient;
    readonly targets: readonly Target[];
    readonly variables: Variables;
    readonly key: string;
  }): Promise<SendReport> {
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
      const recipientHash = open[0]?.recipientHash ?? this.#input.message.recipientHash;
      const held = await this.#hold(connector, { key, recipientHash });
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
    return waiting.length > 0 ? this.#later(waiting, connector) : this.#conclude(connector);
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
      onNoAnswer: () => this.#noteHealth(connector, { class: 'transient' }),
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

  /** What people have said of its batch, template, tenant or account. */
  #stopped(): Step | undefined {
    const { verdict, detail } = this.#deps.stopOf(this.#input.message);
    const later = (delayMs: number, code: string): Step => ({
      next: 'later',
      delayMs,
      reason: { code, detail },
    });
    switch (verdict) {
      case 'go':
        return undefined;
      case 'recalled':
        return failed(recalled, recalled, detail);
      case 'paused':
        // Handed back before any call it is rendered anew once it is resumed; after one, only this activity knows of it.
        return this.#isUntouched
          ? failed(paused, paused, detail)
          : later(pausedRetryMs * (1 + Math.random()), paused);
      case 'blind':
        return later(blindRetryMs, 'stops-unread');
    }
  }

  /** The attempt before this one never concluded: its worker died, perhaps in the middle of a provider's call. */
  get #isUnheard(): boolean {
    return this.#attempt - 1 > this.#progress.lastAttempt;
  }

  get #isUntouched(): boolean {
    return (
      this.#calling.size === 0 &&
      Object.values(this.#progress.targets).every(
        ({ calls, doubt, end }) => calls === 0 && doubt === undefined && end === undefined,
      )
    );
  }

  /** Why no provider may be called now: stopped, too late for it, unwanted, or too many for this person. */
  async #hold(
    connector: Connector,
    counted: { readonly key: string; readonly recipientHash: string },
  ): Promise<Step | undefined> {
    const { message } = this.#input;
    // Looked at here too, so that what was stopped takes nothing from its recipient's limit.
    const stopped = this.#stopped();
    if (stopped !== undefined) return stopped;
    if (Date.parse(message.expiresAt) <= Date.now())
      return failed('expired', 'expired', 'its life ended before its turn came');
    // What they said since it was rendered.
    const hashes = [...new Set([message.recipientHash, counted.recipientHash])];
    const lack = await lacksConsent(this.#deps, message, hashes);
    if (lack !== undefined) return failed(suppressed, lack.code, lack.detail);
    if (message.kind === 'marketing' && (await this.#isOptedOut(counted.recipientHash)))
      return failed(
        suppressed,
        'opted-out',
        'this person said through this channel that they want no marketing',
      );
    const window = await this.#admit(connector, counted);
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

  #isOptedOut(recipientHash: string): Promise<boolean> {
    const { tenantId, channel } = this.#input.message;
    return this.#deps.isOptedOut({ tenantId, channel, recipientHash });
  }

  /** While the counter cannot be asked the message goes on: the provider has limits of its own, and its refusal only delays. */
  async #admit(
    connector: Connector,
    { key, recipientHash }: { readonly key: string; readonly recipientHash: string },
  ): ReturnType<SendDeps['admitRecipient']> {
    const { message } = this.#input;
    try {
      return await this.#deps.admitRecipient({
        accountId: message.accountId,
        recipientHash,
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
    const { message, templateVersion, language } = this.#input;
    const { tenantId, template: name } = message;
    const template = await this.#deps.templateVersion(tenantId, name, templateVersion);
    const invalid = (detail: string) => failed('template-invalid', 'template-invalid', detail);
    if (template === undefined) return invalid(`version ${templateVersion} of ${name} is gone`);
    const rendered = renderContent(template, message.connector, {
      variables,
      locale: language?.locale,
    });
    return rendered.result === 'template-error'
      ? invalid(rendered.detail)
      : { content: rendered.content };
  }

  async #call(
    connector: Connector,
    client: ConnectorClient,
    { to, key, content }: Target & { readonly content: unknown },
  ): Promise<Step> {
    // The last look before the call: from here on it is under way.
    const stopped = this.#stopped();
    if (stopped !== undefined) return stopped;
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
    await this.#noteHealth(connector, outcome);
    const told = toTold(outcome);
    const counted = { ...before, calls: before.calls + 1 };
    if (decision.next !== 'retry' || decision.counts)
      this.#progress = withTarget(this.#progress, key, counted);
    switch (decision.next) {
      case 'done': {
        const id = decision.providerId === undefined ? {} : { providerId: decision.providerId };
        return { next: 'end', end: { isDone: true, ...id }, told: { ...told, ...id } };
      }
      case 'retry':
        if (decision.alert) {
          await this.#deps.tell.accountAtFault({
            message: this.#input.message,
            reason: decision.reason,
            isWhole: isHeld,
            ...(outcome.class === 'quota-exhausted' &&
              outcome.resumeAt !== undefined && { resumeAt: outcome.resumeAt }),
          });
          if (this.#input.hasStandIn)
            return {
              next: 'end',
              end: { isDone: false, failureType: accountAtFault, reason: decision.reason },
              told,
            };
        }
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

  /** A provider that takes nothing from anybody is an account at fault. */
  async #noteHealth({ capabilities }: Connector, outcome: SendOutcome): Promise<void> {
    if (capabilities.hasCredentialsPerRecipient === true) return;
    const { message } = this.#input;
    const { id: messageId, accountId } = message;
    if (!this.#deps.health.note({ accountId, messageId, outcome })) return;
    const reason = {
      ...providerAwayReason,
      detail: `${providerAwayReason.detail}; last: ${outcome.class}`,
    };
    await this.#deps.tell.accountAtFault({ message, reason, isWhole: true });
  }

  /** Every address has come to its end: done when one of them has the message. */
  async #conclude(connector: Connector): Promise<SendReport> {
    const ends = Object.values(this.#progress.targets).flatMap(({ end }) => end ?? []);
    const { last } = this.#timeline;
    await this.#timeline.tellAllButLast(callsOf(this.#progress));
    const done = ends.find((end) => end.isDone);
    if (done !== undefined) {
      this.#timeline.log('done');
      return {
        attempts: callsOf(this.#progress),
        told: this.#timeline.told,
        tried: this.#timeline.tried,
        ...(last !== undefined && { attempt: last }),
        ...(done.providerId !== undefined && { providerId: done.providerId }),
      };
    }
    // The address in doubt is registered no more: it may have been sent there.
    if (Object.values(this.#progress.targets).some(({ doubt }) => doubt !== undefined))
      return this.#giveUp(outcomeUnknown, doubtReason);
    const failures = ends.filter((end) => !end.isDone);
    // One that may have been sent is the honest answer for them all.
    const failure =
      failures.find((end) => end.failureType === outcomeUnknown) ??
      failures.at(-1) ??
      endWithoutTarget(connector);
    return this.#giveUp(failure.failureType, failure.reason);
  }

  /** Leaves the progress for the next attempt and has the server call again when the first address is due. */
  async #later(waiting: readonly Later[], connector: Connector): Promise<SendReport> {
    const soonest = waiting.reduce((least, step) => (step.delayMs < least.delayMs ? step : least));
    const { reason, delayMs } = soonest;
    // Some device has it, and the others' turn would come too late: it is sent.
    const isTooLate = Date.now() + delayMs >= Date.parse(this.#input.message.expiresAt);
    if (isTooLate && Object.values(this.#progress.targets).some(({ end }) => end?.isDone === true))
      return this.#conclude(connector);
    await this.#timeline.tellAll(callsOf(this.#progress), soonest);
    this.#timeline.log('retry');
    this.#leave();
    const nextAttemptAt = new Date(Date.now() + delayMs).toISOString();
    throw ApplicationFailure.create({
      message: `${inWords(reason)}; next attempt at ${nextAttemptAt}`,
      type: reason.code,
      nextRetryDelay: Math.max(1, Math.round(delayMs)),
      category: ApplicationFailureCategory.BENIGN,
      details: [this.#report(reason)],
    });
  }

  /** Where the message stands, for the run and for who looks at it. */
  #report(reason: Reason): SendReport {
    const isInDoubt = Object.values(this.#progress.targets).some(
      ({ doubt }) => doubt !== undefined,
    );
    return {
      attempts: callsOf(this.#progress),
      told: this.#timeline.told,
      tried: this.#timeline.tried,
      reason,
      ...(isInDoubt && { isInDoubt: true as const }),
    };
  }

  /** What the next attempt must know. */
  #leave(): void {
    this.#progress = {
      ...this.#progress,
      lastAttempt: this.#attempt,
      attempts: this.#progress.attempts + this.#timeline.length,
      tried: this.#timeline.tried,
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
      details: [{ ...this.#report(reason), ...(last !== undefined && { attempt: last }) }],
    });
  }
}

const failed = (failureType: string, code: string, detail: string): Step => ({
  next: 'end',
  end: { isDone: false, failureType, reason: { code, detail } },
});
