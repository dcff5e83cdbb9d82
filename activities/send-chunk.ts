/**
 * Stage 5 of a chunk: one batch call for all its members, on the account's chunk queue. What the next attempt must know
 * travels in the heartbeat details, as for single messages; which members a call was begun for is in the store, so that a
 * call whose worker died is known exactly.
 */
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { paused, recalled } from '../contracts/activities.ts';
import type { ChunkReport, SendChunkInput } from '../contracts/chunk-activities.ts';
import { memberMessage } from '../contracts/chunk.ts';
import type { Connector, ConnectorClient, SendRequest } from '../contracts/channel.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import type { Reason } from '../contracts/result.ts';
import type { Template } from '../contracts/template.ts';
import { deliveryKey } from '../platform/delivery-key.ts';
import type { ChunkClaims } from '../store/index.ts';
import { renderContent } from '../templates/index.ts';
import { languageAt } from './chunk-languages.ts';
import { ChunkProgress, firstChunkProgress, type ChunkState } from './chunk-progress.ts';
import { consentLack, consentPlace } from './consent.ts';
import { backoffMs, decide, type Decision } from './decide.ts';
import { doubtReason, isSentAgain, settleBatchDoubt } from './doubt.ts';
import { endIfExpired } from './sealed-request.ts';
import type { SendDeps } from './send.ts';
import { toTold, type Waiting } from './timeline.ts';
import { blindRetryMs, inWords, pausedRetryMs, providerAway, providerAwayReason } from './waits.ts';

export interface SendChunkDeps extends Pick<
  SendDeps,
  | 'clients'
  | 'health'
  | 'templateVersion'
  | 'openRequest'
  | 'stopOf'
  | 'policy'
  | 'consentsOf'
  | 'tell'
  | 'logger'
> {
  readonly claims: Pick<ChunkClaims, 'begin' | 'find' | 'callOff'>;
  /** The shared counter of messages to one recipient, for different recipients; one answer for each. */
  readonly admitRecipients: (
    of: {
      readonly accountId: string;
      readonly windows: Connector['capabilities']['recipientWindows']['otp'];
      readonly nowMs: number;
    },
    deliveries: readonly { readonly recipientHash: string; readonly deliveryKey: string }[],
  ) => Promise<readonly { readonly admitted: boolean }[]>;
  /** Those of these people who said through this channel that they want no more. */
  readonly optedOut: (
    of: { readonly tenantId: string; readonly channel: string },
    recipientHashes: readonly string[],
  ) => Promise<ReadonlySet<string>>;
}

/** Most calls of a chunk that is sent part by part; whoever is left then goes alone. */
const mostCallsInParts = 3;
const untriedReason: Reason = {
  code: 'transient',
  detail: 'one call had no time for all of them, or left some out',
};

/** A member as it is sent. */
interface Item {
  readonly place: number;
  readonly message: AcceptedMessage;
  readonly request: Omit<SendRequest, 'signal'>;
}
type Judged = { readonly item: Item; readonly outcome: SendOutcome; readonly decision: Decision };

/** Makes the activity. Returns when no member is left to it; every other end is a failure whose details say what became of whom. */
export function createSendChunk(deps: SendChunkDeps) {
  return async function sendChunk(input: SendChunkInput): Promise<ChunkReport> {
    const { info } = Context.current();
    const before = (info.heartbeatDetails as ChunkState | undefined) ?? firstChunkProgress;
    return new ChunkAttempt(deps, input, new ChunkProgress(input, before)).run(info.attempt);
  };
}

class ChunkAttempt {
  readonly #deps: SendChunkDeps;
  readonly #input: SendChunkInput;
  readonly #progress: ChunkProgress;
  #attempt = 1;
  /** When the call under way began. */
  #callingSince: string | undefined;
  #called: readonly number[] = [];
  #isClaimed = false;

  constructor(deps: SendChunkDeps, input: SendChunkInput, progress: ChunkProgress) {
    this.#deps = deps;
    this.#input = input;
    this.#progress = progress;
  }

  async run(attempt: number): Promise<ChunkReport> {
    this.#attempt = attempt;
    try {
      return await this.#run();
    } catch (error) {
      if (error instanceof ApplicationFailure) throw error;
      return this.#stumble(error);
    }
  }

  async #run(): Promise<ChunkReport> {
    const { chunk } = this.#input;
    if (this.#progress.isUnheard(this.#attempt)) {
      // The attempt before this one never concluded: its worker died, perhaps in the middle of the call.
      const claim = await this.#deps.claims.find(chunk.id);
      if (claim !== undefined)
        this.#progress.noteDoubt(
          new Date(claim.begunAtMs).toISOString(),
          claim.places,
          claim.places,
        );
    }
    const { connector, client } = await this.#deps.clients.of(chunk.accountId);
    const leave = this.#deps.health.ask(chunk.accountId, chunk.id);
    const { doubt, hasNoEnd, open } = this.#progress;
    // Those who have ended are told when the chunk ends: they wait for one more call, for nothing else.
    const isHurried = !hasNoEnd && doubt === undefined;
    if (!leave.mayCall) return isHurried ? this.#concludeAlone() : this.#later(providerAway(leave));
    try {
      if (isHurried && this.#stopOfAll().verdict !== 'go') return await this.#concludeAlone();
      if (doubt === undefined) return await this.#send(connector, client, open);
      return await this.#settle(connector, client, doubt);
    } finally {
      leave.done();
    }
  }

  /** What became of a call whose answer was lost. */
  async #settle(
    connector: Connector,
    client: ConnectorClient,
    doubt: NonNullable<ChunkState['doubt']>,
  ): Promise<ChunkReport> {
    const items = await this.#itemsOf(doubt.batch);
    const asked = items.flatMap(({ place }, index) =>
      doubt.places.includes(place) ? [index] : [],
    );
    const answer = await settleBatchDoubt({
      connector,
      client,
      lost: {
        messages: items.map(({ request }) => request),
        asked,
        sentAt: doubt.sentAt,
        questions: doubt.asked,
        calls: this.#progress.calls,
      },
      signal: Context.current().cancellationSignal,
      onNoAnswer: () => this.#noteHealth(connector, { class: 'transient' }),
    });
    switch (answer.next) {
      case 'repeat':
        return this.#send(connector, client, doubt.batch);
      case 'wait':
        this.#progress.asked(answer.questions);
        return this.#later({ delayMs: answer.delayMs, reason: doubtReason });
      case 'settled': {
        const { messageKind } = this.#input.chunk;
        const notTaken: number[] = [];
        for (const [index, place] of asked.flatMap((at) => items[at]?.place ?? []).entries()) {
          const known = answer.answers[index];
          if (known?.found === 'yes')
            this.#progress.end(place, {
              status: 'sent',
              ...(known.providerId !== undefined && { providerId: known.providerId }),
              attempt: this.#progress.note({ outcome: 'reconciled' }),
            });
          else if (known?.found === 'no') notTaken.push(place);
          else if (isSentAgain(messageKind)) this.#progress.leaveAlone(place);
          else this.#progress.end(place, { status: 'unknown', reason: doubtReason });
        }
        this.#progress.settled();
        // Nobody has it: the whole call again. Else those that it left out.
        if (notTaken.length === asked.length && this.#progress.hasNoEnd)
          return this.#send(connector, client, notTaken);
        return this.#conclude();
      }
    }
  }

  async #send(
    connector: Connector,
    client: ConnectorClient,
    places: readonly number[],
  ): Promise<ChunkReport> {
    const { chunk } = this.#input;
    await this.#checkStops();
    if (Date.parse(chunk.expiresAt) <= Date.now())
      this.#giveUp('expired', { code: 'expired', detail: 'its life ended before its turn came' });
    const isRepeat = this.#progress.doubt !== undefined;
    const items = await this.#itemsOf(places);
    // A repeat is known as one only if it is the very same call.
    const going = isRepeat ? items : await this.#admit(connector, items);
    if (going.length === 0) return this.#conclude();
    // The last looks before the call: from here on it is under way.
    const left = isRepeat ? going : await this.#claim(going);
    if (left.length === 0) return this.#conclude();
    await this.#checkStops();
    this.#progress.beginsCall();
    const sentAt = new Date().toISOString();
    this.#callingSince = sentAt;
    this.#called = left.map(({ place }) => place);
    const outcomes = await sendBatch(
      client,
      left.map(({ request }) => request),
    );
    this.#callingSince = undefined;
    return this.#judge(connector, { items: left, outcomes, sentAt });
  }

  /** Stops of more than a recipient are the same for all members: they share what a stop names, and their time of acceptance. */
  #stopOfAll(): ReturnType<SendChunkDeps['stopOf']> {
    const [member] = this.#input.chunk.members;
    if (member === undefined) return { verdict: 'go', detail: '' };
    return this.#deps.stopOf({ ...memberMessage(this.#input.chunk, member), recipientHash: '' });
  }

  async #checkStops(): Promise<void> {
    const { verdict, detail } = this.#stopOfAll();
    if (verdict === 'go') return;
    const untouched = this.#progress.calls === 0 && this.#progress.doubt === undefined;
    if (untouched) await this.#callOff();
    if (verdict === 'recalled') this.#giveUp(recalled, { code: recalled, detail });
    if (verdict === 'blind')
      await this.#later({ delayMs: blindRetryMs, reason: { code: 'stops-unread', detail } });
    // Before any call each member is held in a run of its own, which sees to the rest.
    if (untouched) this.#giveUp(paused, { code: paused, detail });
    const delayMs = pausedRetryMs * (1 + Math.random());
    await this.#later({ delayMs, reason: { code: paused, detail } });
  }

  /** Those who still want it, and may have it now. */
  async #admit(connector: Connector, items: readonly Item[]): Promise<readonly Item[]> {
    const { tenantId, channel, accountId, messageKind } = this.#input.chunk;
    const hashes = items.map(({ message }) => message.recipientHash);
    const out =
      messageKind === 'marketing'
        ? await this.#deps.optedOut({ tenantId, channel }, hashes)
        : new Set<string>();
    const lackOf = await this.#askConsents(items);
    const wanting = items.filter(({ place, message }) => {
      const { verdict, detail: why } = this.#deps.stopOf(message);
      if (verdict === 'recalled') {
        this.#progress.end(place, { status: 'recalled', reason: { code: recalled, detail: why } });
        return false;
      }
      const lack = lackOf(message);
      if (lack === undefined && !out.has(message.recipientHash)) return true;
      const detail = 'this person said through this channel that they want no marketing';
      const reason = lack ?? { code: 'opted-out', detail };
      this.#progress.end(place, { status: 'suppressed', reason });
      return false;
    });
    const admissions = await this.#deps.admitRecipients(
      {
        accountId,
        windows: connector.capabilities.recipientWindows[messageKind],
        nowMs: Date.now(),
      },
      wanting.map(({ message, request }) => ({
        recipientHash: message.recipientHash,
        deliveryKey: request.deliveryKey,
      })),
    );
    // Who has had enough for now waits for the window alone.
    return wanting.filter(({ place }, index) => {
      const admitted = admissions[index]?.admitted === true;
      if (!admitted) this.#progress.leaveAlone(place);
      return admitted;
    });
  }

  /** Whether each has consented, where the tenant needs it; what they said since they were rendered counts. */
  async #askConsents(
    items: readonly Item[],
  ): Promise<(message: AcceptedMessage) => Reason | undefined> {
    const { policy, consentsOf } = this.#deps;
    const [first] = items;
    const place = first && consentPlace(await policy(first.message.tenantId), first.message);
    if (place === undefined) return () => undefined;
    const words = await consentsOf(
      place,
      items.map(({ message }) => message.recipientHash),
    );
    return ({ recipientHash }) => consentLack(words, [recipientHash]);
  }

  /** Notes that the call begins, and leaves out who was recalled before. */
  async #claim(items: readonly Item[]): Promise<readonly Item[]> {
    const gone = await this.#deps.claims.begin({
      chunkId: this.#input.chunk.id,
      members: items.map(({ place, message }) => ({ place, id: message.id })),
      nowMs: Date.now(),
    });
    this.#isClaimed = true;
    for (const place of gone)
      this.#progress.end(place, {
        status: 'recalled',
        reason: { code: recalled, detail: 'it was recalled before its chunk was sent' },
      });
    return items.filter(({ place }) => !gone.includes(place));
  }

  /** Nothing was taken: until the next call members may be recalled. */
  async #callOff(): Promise<void> {
    if (!this.#isClaimed) return;
    const { id } = this.#input.chunk;
    await this.#deps.claims
      .callOff(id)
      // A recall then waits for the end of the chunk.
      .catch((error: unknown) => this.#deps.logger.warn({ chunkId: id, error }, 'chunk.claimed'));
  }

  /** The members at these places; who does not render with the pinned version ends. */
  async #itemsOf(places: readonly number[]): Promise<readonly Item[]> {
    const { chunk, templateVersion } = this.#input;
    const template = await this.#deps.templateVersion(
      chunk.tenantId,
      chunk.template,
      templateVersion,
    );
    const items = await Promise.all(
      places.map(async (place): Promise<Item[]> => {
        const member = chunk.members[place];
        if (member === undefined) return [];
        const message = memberMessage(chunk, member);
        const item = await this.#itemOf({ place, message }, template);
        if (!('code' in item)) return [{ place, message, request: item }];
        const isInDoubt = this.#progress.doubt?.places.includes(place) === true;
        this.#progress.end(place, { status: isInDoubt ? 'unknown' : 'failed', reason: item });
        return [];
      }),
    );
    return items.flat();
  }

  async #itemOf(
    { place, message }: Pick<Item, 'place' | 'message'>,
    template: Template | undefined,
  ): Promise<Item['request'] | Reason> {
    const invalid = (detail: string): Reason => ({ code: 'template-invalid', detail });
    if (template === undefined) return invalid(`the pinned version of ${message.template} is gone`);
    const opened = await endIfExpired(() => this.#deps.openRequest(message));
    if ('code' in opened) return opened;
    const { to, variables } = opened;
    const { id: messageId, connector } = message;
    const rendered = renderContent(template, connector, {
      variables,
      locale: languageAt(this.#input.languages, place)?.locale,
    });
    if (rendered.result === 'template-error') return invalid(rendered.detail);
    const key = deliveryKey({ messageId, redrive: 0, connector, to });
    return { to, content: rendered.content, deliveryKey: key };
  }

  async #judge(
    connector: Connector,
    {
      items,
      outcomes,
      sentAt,
    }: {
      readonly items: readonly Item[];
      readonly outcomes: readonly SendOutcome[];
      readonly sentAt: string;
    },
  ): Promise<ChunkReport> {
    const callsBefore = this.#progress.calls;
    const random = Math.random();
    const { attemptBudget } = connector.capabilities;
    const judged: Judged[] = [];
    for (const [index, item] of items.entries()) {
      // A connector owes an answer for each; without one nobody knows.
      const outcome = outcomes[index] ?? { class: 'ambiguous' };
      if (outcome.class === 'transient' && outcome.isUntried) continue;
      const nowMs = Date.now();
      const isHeld = true;
      const decision = decide({ outcome, callsBefore, attemptBudget, nowMs, isHeld, random });
      judged.push({ item, outcome, decision });
    }
    if (judged.length === 0) return this.#concludeUntried();
    await this.#noteHealth(connector, tellingOf(judged));
    await this.#alert(judged);
    this.#progress.settled();
    if (judged.some(({ decision }) => decision.next !== 'retry' || decision.counts))
      this.#progress.countCall();
    const inDoubt = judged.filter(({ decision }) => decision.next === 'doubt');
    const called = items.map(({ place }) => place);
    if (inDoubt.length > 0 && connector.capabilities.dedupe.by !== 'none') {
      // Only the whole of it is known as a repeat, and says again what it said of each.
      this.#progress.noteDoubt(sentAt, called, called);
      return this.#later(waitOf(judged), judged);
    }
    for (const { item, outcome, decision } of judged) {
      const attempt = () => this.#progress.note(toTold(outcome));
      if (decision.next === 'done') {
        const id = decision.providerId === undefined ? {} : { providerId: decision.providerId };
        this.#progress.end(item.place, { status: 'sent', ...id, attempt: { ...attempt(), ...id } });
      } else if (decision.next === 'give-up')
        this.#progress.end(item.place, {
          status: 'failed',
          reason: decision.reason,
          attempt: attempt(),
        });
    }
    const retried = judged.filter(({ decision }) => decision.next === 'retry');
    if (retried.length === judged.length && this.#progress.hasNoEnd) {
      // Nobody has it: the chunk goes again whole.
      await this.#callOff();
      return this.#later(waitOf(judged), judged);
    }
    for (const { item } of retried) this.#progress.leaveAlone(item.place, 1);
    if (inDoubt.length > 0) {
      const places = inDoubt.map(({ item }) => item.place);
      this.#progress.noteDoubt(sentAt, called, places);
      const { reconcileAfterMs } = connector.capabilities;
      const delayMs = reconcileAfterMs > 0 ? reconcileAfterMs : backoffMs(callsBefore, random);
      return this.#later({ delayMs, reason: waitOf(inDoubt).reason }, [...retried, ...inDoubt]);
    }
    await this.#tell(retried);
    return this.#conclude();
  }

  /** The time of the call was over before anything of it was settled: it would be again. */
  #concludeUntried(): Promise<ChunkReport> {
    if (Context.current().cancellationSignal.aborted)
      return this.#later({ delayMs: backoffMs(0, Math.random()), reason: untriedReason });
    return this.#concludeAlone();
  }

  async #noteHealth({ capabilities }: Connector, outcome: SendOutcome): Promise<void> {
    if (capabilities.hasCredentialsPerRecipient === true) return;
    const { accountId, id } = this.#input.chunk;
    if (this.#deps.health.note({ accountId, messageId: id, outcome }))
      await this.#tellFault({ ...providerAwayReason });
  }

  async #alert(judged: readonly Judged[]): Promise<void> {
    const fault = judged.find(({ decision }) => decision.next === 'retry' && decision.alert);
    if (fault === undefined || fault.decision.next !== 'retry') return;
    const { outcome, decision } = fault;
    const resumeAt = outcome.class === 'quota-exhausted' ? outcome.resumeAt : undefined;
    await this.#tellFault(decision.reason, resumeAt);
  }

  async #tellFault(reason: Reason, resumeAt?: string): Promise<void> {
    const [member] = this.#input.chunk.members;
    if (member === undefined) return;
    const message = memberMessage(this.#input.chunk, member);
    await this.#deps.tell.accountAtFault({
      message,
      reason,
      isWhole: true,
      ...(resumeAt !== undefined && { resumeAt }),
    });
  }

  /** The timeline's entries of members that go on. */
  async #tell(judged: readonly Judged[], waiting?: Waiting): Promise<void> {
    for (const { item, outcome } of judged) this.#progress.countTried(item.place, toTold(outcome));
    await Promise.all(
      judged.map(({ item, outcome, decision }) => {
        const delayMs = waiting?.delayMs ?? 0;
        const reason = 'reason' in decision ? decision.reason : waiting?.reason;
        return this.#deps.tell.attempt(
          this.#progress.snapshotOf(item, {
            told: toTold(outcome),
            ...(reason !== undefined && { waiting: { delayMs, reason } }),
          }),
        );
      }),
    );
    if (judged.length > 0) this.#progress.countTold();
  }

  /**
   * Ends the chunk. Whom a call left out, so that they have neither ended nor gone on alone, goes in another, but of the next
   * attempt: what this one has come to would be lost with its worker.
   */
  async #conclude(): Promise<ChunkReport> {
    if (this.#progress.open.length > 0) {
      if (this.#progress.calls < mostCallsInParts)
        return this.#later({ delayMs: 1, reason: untriedReason });
      return this.#concludeAlone();
    }
    const report = this.#progress.report();
    this.#log('done', report);
    return report;
  }

  #concludeAlone(): Promise<ChunkReport> {
    for (const place of this.#progress.open) this.#progress.leaveAlone(place);
    return this.#conclude();
  }

  /** Leaves the progress for the next attempt and has the server call again. */
  async #later(waiting: Waiting, judged: readonly Judged[] = []): Promise<ChunkReport> {
    await this.#tell(judged, waiting);
    const { delayMs, reason } = waiting;
    this.#progress.leave(this.#attempt);
    const report = this.#progress.report(reason);
    this.#log('retry', report);
    throw ApplicationFailure.create({
      message: `${inWords(reason)}; next attempt at ${new Date(Date.now() + delayMs).toISOString()}`,
      type: reason.code,
      nextRetryDelay: Math.max(1, Math.round(delayMs)),
      category: ApplicationFailureCategory.BENIGN,
      details: [report],
    });
  }

  /** For all members that have no end yet. */
  #giveUp(failureType: string, reason: Reason): never {
    const report = this.#progress.report(reason);
    this.#log('give-up', report);
    throw ApplicationFailure.create({
      message: inWords(reason),
      type: failureType,
      nonRetryable: true,
      category: ApplicationFailureCategory.BENIGN,
      details: [report],
    });
  }

  /** A server of ours did not answer, or a defect. Before the call nothing is lost by it; in the call it leaves a doubt. */
  #stumble(error: unknown): never {
    const detail = error instanceof Error ? error.message : String(error);
    const { id, accountId } = this.#input.chunk;
    this.#deps.logger.error({ chunkId: id, accountId, error }, 'chunk.stumbled');
    if (this.#callingSince !== undefined)
      this.#progress.noteDoubt(this.#callingSince, this.#called, this.#called);
    this.#progress.leave(this.#attempt);
    throw ApplicationFailure.create({
      message: detail,
      type: 'internal-error',
      nextRetryDelay: backoffMs(Math.min(this.#attempt, 6), Math.random()),
      details: [this.#progress.report({ code: 'internal-error', detail })],
    });
  }

  #log(next: 'done' | 'retry' | 'give-up', { ended, alone, attempts, reason }: ChunkReport): void {
    const { id: chunkId, tenantId, channel, accountId, members } = this.#input.chunk;
    const sent = ended.filter(({ status }) => status === 'sent').length;
    const counts = { members: members.length, ended: ended.length, sent, alone: alone.length };
    this.#deps.logger.info(
      {
        chunkId,
        tenantId,
        channel,
        accountId,
        temporalAttempt: this.#attempt,
        attempts,
        ...counts,
        reason,
        next,
      },
      'chunk.attempted',
    );
  }
}

async function sendBatch(
  client: ConnectorClient,
  requests: readonly Omit<SendRequest, 'signal'>[],
): Promise<readonly SendOutcome[]> {
  if (client.sendBatch === undefined) throw new Error('the connector has no batch call');
  return client.sendBatch(requests, Context.current().cancellationSignal);
}

/** What a batch call says of the provider: that it works, if it took anything. */
function tellingOf(judged: readonly Judged[]): SendOutcome {
  const outcomes = judged.map(({ outcome }) => outcome);
  return (
    outcomes.find((outcome) => outcome.class === 'accepted') ??
    outcomes.find((outcome) => outcome.class === 'ambiguous') ??
    outcomes[0] ?? { class: 'transient' }
  );
}

/** How long all of them wait: for the one that may go last. */
function waitOf(judged: readonly Judged[]): Waiting {
  const waits = judged.flatMap(({ decision }): Waiting[] => {
    if (decision.next === 'retry') return [{ delayMs: decision.delayMs, reason: decision.reason }];
    return decision.next === 'doubt'
      ? [{ delayMs: backoffMs(0, Math.random()), reason: decision.reason }]
      : [];
  });
  return waits.reduce((longest, wait) => (wait.delayMs > longest.delayMs ? wait : longest), {
    delayMs: 0,
    reason: doubtReason,
  });
}
