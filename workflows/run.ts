/** What one delivery remembers while it runs: the way it is on, its round, its life, and what it has heard. */
import {
  CancellationScope,
  defineSignal,
  proxyLocalActivities,
  setCurrentDetails,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { SearchAttributeType, defineSearchAttributeKey } from '@temporalio/common';
import type { LocalActivities } from '../contracts/activities.ts';
import type { AcceptedMessage, Kind } from '../contracts/message.ts';
import { sequences } from '../contracts/sequences.ts';
import {
  lookAgainSignal,
  receiptSignal,
  type DeliverInput,
  type DeliverRoute,
  type ReceiptSignal,
} from '../contracts/workflows.ts';
import { triedTogether, type Tried } from '../contracts/tried.ts';
import type { Arrival, Ending } from './ending.ts';
import { toSnapshot } from './snapshot.ts';

/** What held the message is over, or an operator wants it to see for itself. */
export const lookAgain = defineSignal(lookAgainSignal);
/** A provider's news of a message whose receipt is waited for. */
export const receipt = defineSignal<[ReceiptSignal]>(receiptSignal);

const { report } = proxyLocalActivities<Pick<LocalActivities, 'report'>>({
  startToCloseTimeout: '15 seconds',
  retry: { initialInterval: '200 milliseconds', maximumInterval: '10 seconds' },
});

const stateAttribute = defineSearchAttributeKey('McState', SearchAttributeType.KEYWORD);

export class DeliverRun {
  readonly input: DeliverInput;
  #way = 0;
  #round = 0;
  #expiresAtMs: number;
  /** Provider calls and timeline entries of the ways before this one. */
  #calls = 0;
  #told = 0;
  #tried: Tried = {};
  #looks = 0;
  #isHeld = false;
  #receipts: ReceiptSignal[] = [];

  constructor(input: DeliverInput) {
    this.input = input;
    this.#expiresAtMs = Date.parse(input.message.expiresAt);
    const { rounds = 0, told = 0, calls = 0, tried = {} } = input.before ?? {};
    this.#round = rounds;
    this.#told = told;
    this.#calls = calls;
    this.#tried = tried;
  }

  get kind(): Kind {
    return this.input.message.kind;
  }
  get route(): DeliverRoute {
    const route = this.input.routes[this.#way];
    if (route === undefined) throw new Error('a run without a way');
    return route;
  }
  get round(): number {
    return this.#round;
  }
  get toldBefore(): number {
    return this.#told;
  }
  /** What the attempts of the ways before this one came to. */
  get tried(): Tried {
    return this.#tried;
  }
  /** Counts up with each signal to look again. */
  get looks(): number {
    return this.#looks;
  }

  /** The message as it is on this way, with the life that it has now. */
  message(): AcceptedMessage {
    const { connector, channel, accountId } = this.route;
    const expiresAt = new Date(this.#expiresAtMs).toISOString();
    return { ...this.input.message, connector, channel, accountId, expiresAt };
  }
  get lifeMs(): number {
    return this.#expiresAtMs - Date.now();
  }
  /** Its life stands still while it is held. */
  lengthenLife(byMs: number): void {
    this.#expiresAtMs += byMs;
  }

  /** The next way that may be tried after this end. */
  wayAfter({ leadsTo }: Ending): DeliverRoute | undefined {
    if (leadsTo === undefined || this.lifeMs <= 0) return undefined;
    return this.#ways(leadsTo === 'any')[0];
  }
  #ways(withSameConnector: boolean): readonly DeliverRoute[] {
    const { connector } = this.route;
    return this.input.routes
      .slice(this.#way + 1)
      .filter((route) => withSameConnector || route.connector !== connector);
  }
  /** Whether another account of this connector could take over. */
  get hasStandIn(): boolean {
    const { connector } = this.route;
    return this.#ways(true).some((route) => route.connector === connector);
  }
  /** How long a receipt is waited for; undefined: it is not, nothing would follow. */
  receiptWaitMs(): number | undefined {
    const { fallbackAfter } = this.input.message;
    return fallbackAfter === undefined || this.#ways(false).length === 0
      ? undefined
      : fallbackAfter * 1000;
  }
  goOn(route: DeliverRoute): void {
    this.#way = this.input.routes.indexOf(route);
  }

  /** Provider calls concluded on all ways. */
  get calls(): number {
    return this.#calls;
  }
  /** Takes the end of a way into the run's own counts of calls and timeline entries. */
  counted(ending: Ending): Ending {
    this.#calls += ending.attempts;
    this.#told = Math.max(this.#told, ending.told ?? 0);
    this.#tried = triedTogether(this.#tried, ending.tried);
    return { ...ending, attempts: 0 };
  }

  /** Publishes where the message stands, whatever comes meanwhile. `state.attempts`: calls that are not counted yet. */
  tell(state: Ending & { readonly nextAttemptAt?: string }, sequence: number): Promise<void> {
    const at = { redrive: this.input.redrive, sequence, updatedAt: new Date().toISOString() };
    const attempts = this.#calls + state.attempts;
    const tried = triedTogether(this.#tried, state.tried);
    const snapshot = toSnapshot(this.message(), { ...state, tried, attempts }, at);
    return CancellationScope.nonCancellable(() => report(snapshot));
  }
  /** Publishes how a round ended, shows it in the Temporal UI, and begins the next. */
  async endRound(state: Ending & { readonly nextAttemptAt?: string }, next: string): Promise<void> {
    const { code = state.status, detail } = state.reason ?? {};
    setCurrentDetails(`${code}${detail === undefined ? '' : `: ${detail}`}; ${next}`);
    await this.tell(state, sequences.roundEnd(this.#round));
    this.#round += 1;
  }

  /** Marks the run for the list filter of the Temporal UI. */
  mark(state: 'stuck' | 'held' | 'scheduled' | undefined): void {
    upsertSearchAttributes([{ key: stateAttribute, value: state ?? null }]);
  }
  /** True: it was not held until now. */
  held(): boolean {
    const isNew = !this.#isHeld;
    this.#isHeld = true;
    if (isNew) this.mark('held');
    return isNew;
  }
  /** It may be sent now; told if it was held. */
  async released(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.mark(undefined);
    await this.endRound({ status: 'sending', attempts: 0 }, 'it may be sent now');
  }

  look(): void {
    this.#looks += 1;
  }
  hear(news: ReceiptSignal): void {
    this.#receipts.push(news);
  }
  /** A provider's word that the message has arrived, by any of its ways. */
  get arrival(): Arrival | undefined {
    return this.#receipts.find(hasArrived);
  }
  /** What a provider said of a message that this run had it sent: delivered by any of its ways, or failed on the present one. */
  get news(): ReceiptSignal | undefined {
    const { accountId } = this.route;
    return this.arrival ?? this.#receipts.find((news) => news.accountId === accountId);
  }
}

const hasArrived = (news: ReceiptSignal): news is Arrival => news.status !== 'failed';
