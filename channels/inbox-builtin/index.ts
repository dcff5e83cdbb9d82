/** Items in the in-site inbox: the connector `inbox-builtin`. docs/channels/inbox-builtin.md explains it. */
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import {
  inboxConnector,
  InboxContentSchema,
  type InboxContent,
  type InboxWriter,
} from '../../contracts/inbox.ts';
import { checkAccount } from '../kit/check-account.ts';
import {
  callTimeoutMs,
  createInboxClient,
  longestKeepDays,
  SecretsSchema,
  SettingsSchema,
  shortestKeepDays,
} from './client.ts';

const dayMs = 86_400_000;

/** Makes the connector. Errors of its methods: settings or secrets that do not fit their schemas. */
export function createInboxBuiltin({ inbox }: { readonly inbox: InboxWriter }): Connector {
  return {
    name: inboxConnector,
    channel: 'inbox',
    addressKinds: ['userId'],
    capabilities: {
      dedupe: { by: 'key', windowMs: shortestKeepDays * dayMs },
      // Nobody pushes: what a person reads is told by ingest, which serves the inbox.
      receipts: 'none',
      askReceiptsAfterMs: [],
      canReconcile: false,
      // After a lost commit: the repeat is recognised, so this is only a pause.
      reconcileAfterMs: 1000,
      recallWithinMs: longestKeepDays * dayMs,
      callTimeoutMs,
      // Our own database being away is no reason to give up before the message's life ends.
      attemptBudget: 2000,
      recipientWindows: { otp: [], notice: [], marketing: [] },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema: InboxContentSchema,
    contentText,
    addressFault: () => undefined,
    createClient: (account) => createInboxClient({ account: checked(account), inbox }),
  };
}

function contentText(content: unknown): string {
  const { title, body } = content as InboxContent;
  return body === '' ? title : `${title}\n${body}`;
}

const checked = (account: AccountAccess) =>
  checkAccount(
    inboxConnector,
    { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema },
    account,
  );
