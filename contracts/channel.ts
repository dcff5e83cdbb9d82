/**
 * What a connector (one channel through one provider) is. Every folder in channels/ exports one; the engine knows
 * nothing of a provider beyond this file.
 */
import type { TSchema } from 'typebox';
import type { To } from './message.ts';
import type { ReconcileOutcome, SendOutcome } from './outcome.ts';
import type { Receipt } from './result.ts';

/** At most `count` messages to one address within a rolling `windowSeconds`, counted when submitted. */
export interface RecipientWindow {
  readonly count: number;
  readonly windowSeconds: number;
}

/** Capabilities are data: the engine plans from them. Times in milliseconds. */
export interface ChannelCapabilities {
  /** How the provider recognises a repeated call; none: only reconciliation protects from a second message. */
  readonly dedupe: { readonly by: 'none' } | { readonly by: 'key'; readonly windowMs: number };
  readonly receipts: 'push' | 'pull' | 'none';
  readonly canReconcile: boolean;
  /** How long after a lost answer the provider's books can be trusted. */
  readonly reconcileAfterMs: number;
  readonly canRecall: boolean;
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

/** What a receipt call came to: receipts to publish, and the acknowledgement the provider expects once they are stored. */
export type ReceiptParse =
  | {
      readonly result: 'receipts';
      readonly receipts: readonly Omit<
        Receipt,
        'version' | 'connector' | 'accountId' | 'tenantId' | 'receivedAt'
      >[];
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
  /** `<channel>-<provider>`: the folder's name. */
  readonly name: string;
  readonly channel: string;
  readonly capabilities: ChannelCapabilities;
  readonly settingsSchema: TSchema;
  readonly secretsSchema: TSchema;
  /** Content as stored (strings are Liquid templates) and as rendered: the same shape. */
  readonly contentSchema: TSchema;
  /** What people would read, from rendered content: for search and preview. */
  contentText(content: unknown): string;
  /** Says what about an address this channel cannot serve, or undefined. */
  addressFault(to: To): string | undefined;
  createClient(account: AccountAccess): ConnectorClient;
  parseReceipts?(request: ReceiptRequest, account: AccountAccess): ReceiptParse;
}
