/** `npm run generate`: writes the files that are made from code; `--check` fails when one of them is out of date. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { adminOpenapi } from '../admin/server.ts';
import { problems } from '../contracts/problems.ts';
import { statusMoves } from '../contracts/status.ts';
import { channelTable } from './channel-table.ts';
import { batchRoutes } from '../ingest/batches/routes.ts';
import { consentRoutes } from '../ingest/consents.ts';
import { deviceRoutes } from '../ingest/devices.ts';
import { inboxRoutes } from '../ingest/inbox/routes.ts';
import { peopleRoutes } from '../ingest/people.ts';
import { recallRoute } from '../ingest/recall-message.ts';
import { resumeRoute } from '../ingest/ordering-keys.ts';
import { erasureRoutes } from '../ingest/erasures.ts';
import { redriveRoute } from '../ingest/redrive-message.ts';
import { stopBatchRoutes } from '../ingest/stop-batch.ts';
import { ingestOpenapi, type Caller } from '../ingest/server.ts';
import { suppressionRoutes } from '../ingest/suppressions.ts';
import { webhookAttemptRoutes } from '../ingest/webhook-attempts.ts';
import { webhookEndpointRoutes } from '../ingest/webhook-endpoints.ts';
import { settings } from '../platform/config.ts';
import { explainRoute, messageRoutes } from '../search/index.ts';

const none = () => {
  throw new Error('only the document is made');
};
const files: Record<string, string> = {
  'ingest/openapi.json': json(
    ingestOpenapi([
      ...messageRoutes<Caller>({ audience: 'services' } as never),
      explainRoute<Caller>({ audience: 'services' } as never),
      recallRoute({
        ids: { isGenuine: none },
        connectors: new Map(),
        client: undefined as never,
        names: undefined as never,
        publisher: undefined as never,
        logger: undefined as never,
        snapshotOf: none,
        sealedRequestOf: none,
        open: none,
        access: none,
        devicesOf: none,
        personOf: none,
        recallMember: none,
      }),
      ...batchRoutes({
        batches: undefined as never,
        index: { counts: none, statuses: none },
        template: none,
        accountsOf: none,
        checkVariables: none,
        connectors: new Map(),
        ids: { derive: none },
        sealer: undefined as never,
        logger: undefined as never,
      }),
      ...stopBatchRoutes({ store: undefined as never, logger: undefined as never }),
      resumeRoute({
        client: undefined as never,
        names: undefined as never,
        logger: undefined as never,
      }),
      redriveRoute({
        ids: { isGenuine: none },
        redriveMessage: none,
        indexNow: none,
        logger: undefined as never,
      }),
      ...erasureRoutes({ store: undefined as never, retentionDays: 7, logger: undefined as never }),
      ...deviceRoutes({
        devices: { register: none, list: none, remove: none },
        connectors: new Map(),
        accountsOf: none,
      }),
      ...peopleRoutes({
        people: { put: none, get: none, remove: none },
        channels: new Set(),
      }),
      ...suppressionRoutes({
        suppressions: { put: none, of: none, remove: none },
        hashRecipient: none,
        channels: new Set(),
      }),
      ...consentRoutes({
        consents: { record: none, newest: none, get: none, list: none },
        hashRecipient: none,
        channels: new Set(),
        logger: undefined as never,
      }),
      ...webhookEndpointRoutes({
        store: {} as never,
        allowPrivateProviders: false,
        logger: undefined as never,
      }),
      ...webhookAttemptRoutes({
        store: {} as never,
        index: undefined as never,
        logger: undefined as never,
      }),
      ...inboxRoutes({
        inbox: { ownerOf: none, list: none, position: none, mark: none, markAllRead: none },
        streams: { open: none, changed: none },
        tokens: { issue: none, open: none },
        callerOfKey: none,
        tellRead: none,
      }),
    ]),
  ),
  'admin/openapi.json': json(adminOpenapi()),
  'docs/channels.md': channelTable(channelPage),
  'docs/configuration.md': configuration(),
  'docs/problems.md': problemList(),
  'docs/statuses.md': statusList(),
};
const stale = Object.entries(files).filter(
  ([file, text]) => !existsSync(file) || readFileSync(file, 'utf8') !== text,
);
if (process.argv.includes('--check')) {
  for (const [file] of stale) console.log(`${file} is out of date; run npm run generate`);
  process.exit(stale.length === 0 ? 0 : 1);
}
for (const [file, text] of stale) {
  writeFileSync(file, text);
  console.log(`wrote ${file}`);
}

/** A page of its own, or the one of its provider's protocol. */
function channelPage(connector: string): string {
  const pages = [connector, connector.split('-', 1)[0] ?? connector];
  const page = pages.find((name) => existsSync(`docs/channels/${name}.md`));
  if (page === undefined) throw new Error(`docs/channels/${connector}.md is missing`);
  return `channels/${page}.md`;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function configuration(): string {
  const rows = Object.values(settings).map(
    (setting) =>
      `| \`${setting.env}\` | ${setting.kind} | ${setting.default === '' ? '' : `\`${setting.default}\``} | ${setting.description.replaceAll('|', '\\|')}${'secret' in setting ? ' Secret.' : ''} |`,
  );
  return `# Configuration

Made by \`npm run generate\` from \`platform/config.ts\`. Each setting may also be read from a file: \`<NAME>_FILE=/path\`.

| setting | kind | default | meaning |
|---|---|---|---|
${rows.join('\n')}
`;
}

function problemList(): string {
  const rows = Object.entries(problems).map(
    ([code, { status, title }]) => `| \`${code}\` | ${status} | ${title} |`,
  );
  return `# Problems

Every error is an RFC 9457 document, \`application/problem+json\`, with \`type\` = \`urn:message-center:problem:<code>\`,
\`instance\` = the request's id as in the logs, and for bad input \`errors: [{ pointer, detail }]\`.
Made by \`npm run generate\` from \`contracts/problems.ts\`.

| code | status | title |
|---|---|---|
${rows.join('\n')}
`;
}

function statusList(): string {
  const rows = Object.entries(statusMoves).map(
    ([status, next]) =>
      `| \`${status}\` | ${next.map((to) => `\`${to}\``).join(', ') || 'an end'} |`,
  );
  return `# Statuses

The states of a message and where each may go next. Made by \`npm run generate\` from \`contracts/status.ts\`.

| status | next |
|---|---|
${rows.join('\n')}
`;
}
