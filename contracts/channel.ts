/**
 * What a connector (one channel through one provider) is. Every folder in channels/ exports one; the engine knows
 * nothing of a provider beyond this file.
 */
import type { TSchema } from 'typebox';
import type { AddressKind, To } from './message.ts';
import type { ReconcileOutcome, SendOutcome } from './outcome.ts';
import type { Receipt } from './result.ts';
import type { ConnectorLint, LintSamples } from './template-lint.ts';

/** At most `count` messages to one address within a rolling `windowSeconds`, counted when submitted. */
export interface RecipientWindow {
  readonly count: number;
  readonly windowSeconds: number;
}

/** Capabilities are data: the engine plans from them. Times in milliseconds. */
export interface ChannelCapabilities {
  /**
   * What a repeated call does. key: the provider knows it again for `windowMs`, nobody gets a second message; overwrite:
   * the second replaces the first on the device; none: only reconciliation protects from a second message.
   */
  readonly dedupe:
    | { readonly by: 'none' }
    | { readonly by: 'key'; readonly windowMs: number }
    | { readonly by: 'overwrite' };
  /** push: the provider calls us; pull: we ask (`askReceipts`), after each of `askReceiptsAfterMs`; none: sent is all we learn. */
  /** For people: under which condition a repeat does no harm, where there is one. */
  readonly caveat?: string;
  readonly receipts: 'push' | 'pull' | 'none';
  /** When to ask for a receipt that has not come, counted from the send; where the client has `askReceipts`. */
  readonly askReceiptsAfterMs: readonly number[];
  readonly canReconcile: boolean;
  /** One account holds credentials for each recipient (robots of groups): a wrong one is not the account's fault. */
  readonly hasCredentialsPerRecipient?: true;
  /** How long after a lost answer the provider's books can be trusted. */
  readonly reconcileAfterMs: number;
  /** How long after the send the provider takes a message back; 0: it cannot. */
  readonly recallWithinMs: number;
  /** The provider's own call for many messages, where it has one that is cheaper. */
  readonly batch?: {
    readonly maxMessages: number;
    /** same: one content for all recipients of a call. */
    readonly content: 'same' | 'any';
  };
  /** One call's limit; the activity's timeout is this and a margin. */
  readonly callTimeoutMs: number;
  /** Concluded calls that are spent on one message at most. */
  readonly attemptBudget: number;
  /** Limits per recipient, by kind of template. */
  readonly recipientWindows: Readonly<
    Record<'otp' | 'notice' | 'marketing', readonly RecipientWindow[]>
  >;
}

/** A channel account as a connector sees it: validated settings and opened secrets. */
export interface AccountAccess<Settings = unknown, Secrets = unknown> {
  readonly id: string;
  readonly tenantId: string;
  readonly settings: Settings;
  readonly secrets: Secrets;
}

export interface SendRequest<Content = unknown> {
  readonly to: To;
  /** Rendered content, valid by the connector's content schema. */
  readonly content: Content;
  /**
   * `<messageId>.<redrive>.<hash of channel and address>`: the same for every repeat of this delivery.
   * Letters, digits, dot and underscore; 60 characters at most; a connector hashes it into its provider's form where it does not fit.
   */
  readonly deliveryKey: string;
  /** Aborted when the worker must stop; the call then counts as ambiguous if bytes had left. */
  readonly signal: AbortSignal;
}

/** What a provider said of a message it was asked about. */
export type AskedReceipt = Omit<
  Receipt,
  'version' | 'connector' | 'accountId' | 'tenantId' | 'receivedAt'
>;

/** A sent message whose receipt has not come. */
export interface SentMessage {
  readonly to: To;
  readonly deliveryKey: string;
  readonly providerId: string | undefined;
  /** ISO time. */
  readonly sentAt: string;
}

/** A connector's live client for one account; holds connections, is closed when the account changes. */
export interface ConnectorClient<Content = unknown> {
  /** One attempt, no retries of its own (a stale token is renewed once). Never throws for what a provider or network does. */
  send(request: SendRequest<Content>): Promise<SendOutcome>;
  /** Asks the provider whether it took the call whose answer was lost. `sentAt`: ISO time of that call. */
  reconcile?(request: {
    to: To;
    deliveryKey: string;
    sentAt: string;
    signal: AbortSignal;
  }): Promise<ReconcileOutcome>;
  /** Asks what became of sent messages; tells of those that the provider has news of. Errors: thrown, asked again later. */
  askReceipts?(
    messages: readonly SentMessage[],
    signal: AbortSignal,
  ): Promise<readonly AskedReceipt[]>;
  /** Takes a sent message back, within `recallWithinMs`. accepted: nobody sees it any more, or as far as the provider can. */
  recall?(message: SentMessage & { readonly signal: AbortSignal }): Promise<SendOutcome>;
  /**
   * One provider call for several messages, at most `capabilities.batch.maxMessages`, no address twice.
   * One outcome for each, in order. Never throws for what a provider or network does.
   */
  sendBatch?(
    messages: readonly Omit<SendRequest<Content>, 'signal'>[],
    signal: AbortSignal,
  ): Promise<readonly SendOutcome[]>;
  /**
   * Asks which of the messages of a `sendBatch` call, whose answer was lost, the provider took: given as they were then, in
   * the same order. `asked`: places of those in doubt; one answer for each, in their order.
   */
  reconcileBatch?(lost: {
    readonly messages: readonly Omit<SendRequest<Content>, 'signal'>[];
    readonly asked: readonly number[];
    /** ISO time of that call. */
    readonly sentAt: string;
    readonly signal: AbortSignal;
  }): Promise<readonly ReconcileOutcome[]>;
  /** A harmless authenticated call: does this account work? */
  verify(signal: AbortSignal): Promise<SendOutcome>;
  close(): Promise<void>;
}

/** A provider's HTTP call to our receipt address, raw. */
export interface ReceiptRequest {
  readonly method: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

/** A person's own word on messages of this channel: a reply TD, an unsubscription, a follower who left. */
export interface OptOut {
  readonly to: To;
  readonly isOut: boolean;
  /** ISO time. */
  readonly occurredAt: string;
  /** What they did, in a word: `reply-td`, `unsubscribe`. */
  readonly how: string;
}

/** What a receipt call came to: receipts to publish, and the acknowledgement the provider expects once they are stored. */
export type ReceiptParse =
  | {
      readonly result: 'receipts';
      /** May be empty: a check of the address, news that concern no message. */
      readonly receipts: readonly AskedReceipt[];
      /** People who said that they want no more, or want it again. */
      readonly optOuts?: readonly OptOut[];
      readonly reply: {
        readonly status: number;
        readonly contentType: string;
        readonly body: string;
      };
    }
  /** Not from the provider, or not readable: nothing is stored. */
  | {
      readonly result: 'refused';
      readonly reason: 'signature' | 'malformed';
      readonly detail: string;
    };

export interface Connector {
  /** `<channel>-<provider>`. */
  readonly name: string;
  readonly channel: string;
  /** Kinds of address it takes; `userId` where there is a device registry or an inbox. */
  readonly addressKinds: readonly AddressKind[];
  /** A `userId` means all devices the user has registered for this connector: the client gets each device's `deviceToken`. */
  readonly hasDevices?: true;
  readonly capabilities: ChannelCapabilities;
  readonly settingsSchema: TSchema;
  readonly secretsSchema: TSchema;
  /** Content as stored (strings are Liquid templates) and as rendered: the same shape. */
  readonly contentSchema: TSchema;
  /** What people would read, from rendered content: for search and preview. */
  contentText(content: unknown): string;
  /** What its provider would refuse, cut or charge for more than once. Pure; the contents fit the schema, but for lengths. */
  lint?(samples: LintSamples): ConnectorLint;
  /** Says what about an address of its kinds this account cannot serve, or undefined. */
  addressFault(to: To, settings: unknown): string | undefined;
  createClient(account: AccountAccess): ConnectorClient;
  parseReceipts?(request: ReceiptRequest, account: AccountAccess): ReceiptParse;
}

/** A token as the provider gave it. */
export interface FetchedToken {
  readonly token: string;
  /** How long it may be used; renewed some time before. */
  readonly expiresInMs: number;
}

/**
 * Provider tokens, shared by all processes: fetched by one of them at a time, kept sealed.
 * `name` tells tokens of one account apart and holds a hash of the credentials, so that a new secret means a new token.
 */
export interface ProviderTokens {
  /**
   * The current token; `fetch` is called when there is none, by one caller over all processes where the store answers.
   * Errors: what `fetch` throws; callers that waited for it get the same error.
   */
  current(key: TokenKey, fetch: () => Promise<FetchedToken>): Promise<string>;
  /** Forgets the token if it is still this one: of many calls that failed with it only the first makes a new one. */
  expire(key: TokenKey, failed: string): Promise<void>;
}

export interface TokenKey {
  readonly accountId: string;
  readonly name: string;
}
