/** `docs/channels.md`: one table of what each channel promises and can do, made from the connectors themselves. */
import { createConnectors } from '../channels/registry.ts';
import type { ChannelCapabilities, Connector } from '../contracts/channel.ts';
import { createProviderTokens } from '../platform/provider-tokens.ts';
import { lastHopPromise, lastHopReason, promises, span } from './last-hop.ts';

/** The document's text. */
export function channelTable(pageOf: (connector: string) => string): string {
  const none = () => Promise.reject(new Error('only the document is made'));
  const connectors = [
    ...createConnectors({
      allowPrivateProviders: false,
      tokens: createProviderTokens(),
      inbox: { put: none, recall: none, check: none },
    }).values(),
  ];
  const rows = connectors.map((connector) => row(connector, pageOf(connector.name)));
  const meanings = Object.entries(promises).map(([name, text]) => `- **${name}**: ${text}`);
  return `# Channels

What each channel promises at its last hop, and what it can do. Made by \`npm run generate\` from the connectors'
capabilities; the promise is proven by \`tests/guarantees/every-channel.test.ts\`, which sends 200 messages through each channel
while answers are lost, connections reset and tokens revoked, and then counts what people see.

${meanings.join('\n')}

| connector | address | promise | because | receipts | recall | batch call | most to one recipient |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}

Times and counts are the connectors' own limits, kept at or below what the providers document. A limit per recipient holds over
all workers. [How to add a channel](channels/README.md), [the simulated providers](channels/sandbox.md).
`;
}

function row({ name, addressKinds, capabilities }: Connector, page: string): string {
  const cells = [
    `[${name}](${page})`,
    addressKinds.map((kind) => `\`${kind}\``).join(', '),
    lastHopPromise(capabilities),
    [lastHopReason(capabilities), capabilities.caveat].filter(Boolean).join('; '),
    receipts(capabilities),
    capabilities.recallWithinMs === 0 ? 'no' : `within ${span(capabilities.recallWithinMs)}`,
    batch(capabilities),
    windows(capabilities),
  ];
  return `| ${cells.join(' | ')} |`;
}

function receipts({ receipts: how, askReceiptsAfterMs }: ChannelCapabilities): string {
  const asked = askReceiptsAfterMs.map(span).join(', ');
  const pushed = { push: 'pushed', pull: '', none: 'none' }[how];
  if (asked === '') return pushed;
  return [pushed === 'none' ? '' : pushed, `asked for after ${asked}`].filter(Boolean).join('; ');
}

function batch({ batch: call }: ChannelCapabilities): string {
  if (call === undefined) return 'no';
  return call.content === 'same' ? `${call.maxMessages} of one text` : `${call.maxMessages}`;
}

function windows({ recipientWindows }: ChannelCapabilities): string {
  const texts = Object.entries(recipientWindows).map(([kind, list]) => ({
    kind,
    text: list
      .map(({ count, windowSeconds }) => `${count} in ${span(windowSeconds * 1000)}`)
      .join(', '),
  }));
  const different = new Set(texts.map(({ text }) => text));
  if (different.size === 1) return texts[0]?.text || 'no limit of ours';
  return texts.map(({ kind, text }) => `${kind} ${text || 'no limit'}`).join('; ');
}
