/**
 * Stage 5: one attempt to deliver, on the channel account's own queue. The server retries it; what one attempt must know
 * of those before it travels in the heartbeat details that are sent with each failure.
 */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import {
  attemptsExhausted,
  outcomeUnknown,
  type SendInput,
  type SendReport,
} from '../contracts/activities.ts';
import type { Connector, ConnectorClient } from '../contracts/channel.ts';
import { kindDefaults } from '../contracts/message.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { Problem } from '../contracts/problems.ts';
import { sequences, type Attempt, type Reason, type Snapshot } from '../contracts/result.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import type { Template } from '../contracts/template.ts';
import { renderContent } from '../templates/index.ts';
import type { Logger } from '../platform/logger.ts';
import type { Clients } from './clients.ts';
import { backoffMs, decide } from './decide.ts';
import { deliveryKey } from '../platform/delivery-key.ts';
import type { OpenRequest } from './sealed-request.ts';
import type { Tell } from './tell.ts';

export interface SendDeps {
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
  readonly tell: Tell;
  readonly logger: Logger;
}

/** What an attempt leaves for the next one. */
interface Progress {
  /** Temporal's number of the last attempt that concluded, whatever it came to. */
  readonly lastAttempt: number;
  /** Attempts told of in the timeline. */
  readonly attempts: number;
  /** Provider calls concluded: what the attempt budget counts. */
  readonly calls: number;
  /** A call that may have been taken by the provider, and how often we have asked. */
  readonly doubt?: { readonly sentAt: string; readonly asked: number };
}

/** What a call came to, before it is numbered and timed. */
type Told = Omit<Attempt, 'number' | 'startedAt' | 'durationMs' | 'accountId'>;

const firstProgress: Progress = { lastAttempt: 0, attempts: 0, calls: 0 };
/** Questions to the provider after a lost answer before the kind's policy decides. */
const questions = 5;

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
  readonly #startedAt = new Date();
  #progress: Progress;
  #calledAt: string | undefined;

  constructor(
    deps: SendDeps,
    { input, before, attempt }: { input: SendInput; before: Progress; attempt: number },
  ) {
    this.#deps = deps;
    this.#input = input;
    this.#attempt = attempt;
    this.#progress = before;
  }

  async run(scheduledAtMs: number): Promise<SendReport> {
    try {
      return await this.#run(scheduledAtMs);
    } catch (error) {
      if (error instanceof ApplicationFailure) throw error;
      return this.#stumble(error);
    }
  }

  /** A server of ours did not answer, or a defect. Before the provider's call nothing is lost by it; in the call it leaves a doubt. */
  #stumble(error: unknown): never {
    const detail = error instanceof Error ? error.message : String(error);
    const { message } = this.#input;
    this.#deps.logger.error(
      { messageId: message.id, accountId: message.accountId, error },
      'delivery.stumbled',
    );
    this.#progress = {
      ...this.#progress,
      lastAttempt: this.#attempt,
      ...(this.#calledAt !== undefined && { doubt: { sentAt: this.#calledAt, asked: 0 } }),
    };
    Context.current().heartbeat(this.#progress);
    throw ApplicationFailure.create({
      message: detail,
      type: 'internal-error',
      nextRetryDelay: backoffMs(Math.min(this.#attempt, 6), Math.random()),
      details: [
        {
          attempts: this.#progress.calls,
          reason: { code: 'internal-error', detail },
        } satisfies SendReport,
      ],
    });
  }

  async #run(scheduledAtMs: number): Promise<SendReport> {
    const { message, templateVersion } = this.#input;
    const { connector, client } = await this.#deps.clients.of(message.accountId);
    const { to, variables } = this.#deps.openRequest(message);
    const key = deliveryKey({
      messageId: message.id,
      redrive: this.#input.redrive,
      connector: message.connector,
      to,
    });

    // The attempt before this one never concluded: its worker died, perhaps in the middle of the provider's call.
    if (this.#attempt - 1 > this.#progress.lastAttempt && this.#progress.doubt === undefined)
      this.#progress = {
        ...this.#progress,
        doubt: { sentAt: new Date(scheduledAtMs).toISOString(), asked: 0 },
      };

    const found = await this.#settleDoubt(connector, client, { to, key });
    if (found !== undefined) return found;

    if (Date.parse(message.expiresAt) <= Date.now())
      return this.#giveUp('expired', {
        code: 'expired',
        detail: 'its life ended before its turn came',
      });

    const window = await this.#admit(connector, key);
    if (!window.admitted)
      return this.#later({ outcome: 'recipient-window' }, window.retryAfterMs, {
        code: 'recipient-window',
        detail: 'this recipient has had as many messages as the channel allows for now',
      });

    const template = await this.#deps.templateVersion(
      message.tenantId,
      message.template,
      templateVersion,
    );
    if (template === undefined)
      return this.#giveUp('template-invalid', {
        code: 'template-invalid',
        detail: `version ${templateVersion} of ${message.template} is gone`,
      });
    const rendered = renderContent(template, message.connector, variables);
    if (rendered.result === 'template-error')
      return this.#giveUp('template-invalid', {
        code: 'template-invalid',
        detail: rendered.detail,
      });

    const sentAt = new Date().toISOString();
    this.#calledAt = sentAt;
    const outcome = await client.send({
      to,
      content: rendered.content,
      deliveryKey: key,
      signal: Context.current().cancellationSignal,
    });
    return this.#conclude(connector, outcome, sentAt);
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

  async #conclude(connector: Connector, outcome: SendOutcome, sentAt: string): Promise<SendReport> {
    const decision = decide({
      outcome,
      callsBefore: this.#progress.calls,
      attemptBudget: connector.capabilities.attemptBudget,
      nowMs: Date.now(),
      random: Math.random(),
    });
    const told = {
      outcome: outcome.class,
      ...(outcome.providerCode !== undefined && { providerCode: outcome.providerCode }),
      ...(outcome.providerMessage !== undefined && { providerMessage: outcome.providerMessage }),
    };
    switch (decision.next) {
      case 'done':
        return this.#done({
          ...told,
          ...(decision.providerId !== undefined && { providerId: decision.providerId }),
        });
      case 'retry':
        if (decision.alert)
          await this.#deps.tell.accountAtFault(this.#input.message, decision.reason);
        if (decision.counts)
          this.#progress = { ...this.#progress, calls: this.#progress.calls + 1 };
        return this.#later(told, decision.delayMs, decision.reason);
      case 'doubt':
        this.#progress = {
          ...this.#progress,
          calls: this.#progress.calls + 1,
          doubt: { sentAt, asked: 0 },
        };
        return this.#later(told, connector.capabilities.reconcileAfterMs, decision.reason);
      case 'give-up':
        this.#progress = { ...this.#progress, calls: this.#progress.calls + 1 };
        return this.#giveUp(decision.failureType, decision.reason, told);
    }
  }

  /** Before any new call: was the doubtful one taken? undefined: surely not, or the policy says to send again. */
  async #settleDoubt(
    connector: Connector,
    client: ConnectorClient,
    { to, key }: { to: Parameters<ConnectorClient['send']>[0]['to']; key: string },
  ): Promise<SendReport | undefined> {
    const { doubt } = this.#progress;
    if (doubt === undefined) return undefined;
    const { capabilities } = connector;
    const { message } = this.#input;
    const clear = () => {
      const { doubt: _settled, ...rest } = this.#progress;
      this.#progress = rest;
      return undefined;
    };
    if (
      capabilities.dedupe.by === 'key' &&
      Date.now() - Date.parse(doubt.sentAt) < capabilities.dedupe.windowMs
    )
      return clear();

    const reason: Reason = {
      code: outcomeUnknown,
      detail: 'the answer to a call was lost, and the provider could not say whether it took it',
    };
    if (client.reconcile !== undefined && doubt.asked < questions) {
      const trustedFromMs = Date.parse(doubt.sentAt) + capabilities.reconcileAfterMs;
      if (Date.now() < trustedFromMs)
        return this.#later(undefined, trustedFromMs - Date.now(), reason);
      const answer = await client.reconcile({
        to,
        deliveryKey: key,
        sentAt: doubt.sentAt,
        signal: Context.current().cancellationSignal,
      });
      if (answer.found === 'yes')
        return this.#done({
          outcome: 'reconciled',
          ...(answer.providerId !== undefined && { providerId: answer.providerId }),
        });
      if (answer.found === 'no') return clear();
      this.#progress = { ...this.#progress, doubt: { ...doubt, asked: doubt.asked + 1 } };
      if (doubt.asked + 1 < questions)
        return this.#later(
          { outcome: 'reconciled', providerMessage: answer.detail },
          backoffMs(doubt.asked + 3, Math.random()),
          reason,
        );
    }
    if (kindDefaults[message.kind].onAmbiguous === 'give-up')
      return this.#giveUp(outcomeUnknown, reason);
    if (this.#progress.calls >= capabilities.attemptBudget)
      return this.#giveUp(attemptsExhausted, reason);
    return clear();
  }

  #told(told: Told): Attempt {
    return {
      number: this.#progress.attempts + 1,
      startedAt: this.#startedAt.toISOString(),
      durationMs: Date.now() - this.#startedAt.getTime(),
      accountId: this.#input.message.accountId,
      ...told,
    };
  }

  #log(attempt: Attempt | undefined, next: string): void {
    const { message } = this.#input;
    const { tenantId, channel, accountId } = message;
    this.#deps.logger.info(
      {
        messageId: message.id,
        tenantId,
        channel,
        accountId,
        temporalAttempt: this.#attempt,
        ...attempt,
        next,
      },
      'delivery.attempted',
    );
  }

  #retrying(attempt: Attempt, reason: Reason, nextAttemptAt: string): Snapshot {
    const { message, redrive, leg, templateVersion } = this.#input;
    return {
      ...snapshotBase(message),
      status: 'retrying',
      redrive,
      sequence: sequences.attempt(leg, attempt.number),
      updatedAt: new Date().toISOString(),
      templateVersion,
      attempts: this.#progress.calls,
      reason,
      nextAttemptAt,
      attempt,
    };
  }

  #done(told: Told): SendReport {
    const attempt = this.#told(told);
    this.#log(attempt, 'done');
    return {
      attempts: this.#progress.calls + (told.outcome === 'reconciled' ? 0 : 1),
      attempt,
      ...(told.providerId !== undefined && { providerId: told.providerId }),
    };
  }

  /** Leaves the progress for the next attempt and has the server call again after `delayMs`. */
  async #later(told: Told | undefined, delayMs: number, reason: Reason): Promise<never> {
    const nextAttemptAt = new Date(Date.now() + delayMs).toISOString();
    const attempt = told === undefined ? undefined : this.#told({ ...told, nextAttemptAt });
    if (attempt !== undefined)
      await this.#deps.tell.attempt(this.#retrying(attempt, reason, nextAttemptAt));
    this.#log(attempt, 'retry');
    this.#progress = {
      ...this.#progress,
      lastAttempt: this.#attempt,
      attempts: this.#progress.attempts + (attempt === undefined ? 0 : 1),
    };
    Context.current().heartbeat(this.#progress);
    throw ApplicationFailure.create({
      message: `${reason.code}${reason.detail === undefined ? '' : `: ${reason.detail}`}; next attempt at ${nextAttemptAt}`,
      type: reason.code,
      nextRetryDelay: Math.max(1, Math.round(delayMs)),
      category: ApplicationFailureCategory.BENIGN,
      details: [{ attempts: this.#progress.calls, reason } satisfies SendReport],
    });
  }

  #giveUp(failureType: string, reason: Reason, told?: Told): never {
    const attempt = told === undefined ? undefined : this.#told(told);
    this.#log(attempt, 'give-up');
    throw ApplicationFailure.create({
      message: `${reason.code}${reason.detail === undefined ? '' : `: ${reason.detail}`}`,
      type: failureType,
      nonRetryable: true,
      category: ApplicationFailureCategory.BENIGN,
      details: [
        {
          attempts: this.#progress.calls,
          reason,
          ...(attempt !== undefined && { attempt }),
        } satisfies SendReport,
      ],
    });
  }
}
