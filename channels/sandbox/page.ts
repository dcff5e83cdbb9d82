/** The sandbox's page: what phones would show. It reloads itself, needs no script and loads nothing from elsewhere. */
import type { ShownMessage } from './simulator.ts';

const style = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; background: #f4f4f5; color: #18181b }
article { background: #fff; border-radius: 12px; padding: .7rem 1rem; margin: .7rem 0; box-shadow: 0 1px 2px #0002 }
time { white-space: nowrap }
b { color: #18181b; margin-right: .4rem }
header { display: flex; gap: 1rem; overflow-wrap: anywhere; justify-content: space-between; color: #52525b; font-size: 13px }
p { margin: .2rem 0; overflow-wrap: anywhere }`;

/** Renders the messages, newest first. */
export function renderPage(
  messages: readonly (ShownMessage & { readonly provider: string })[],
): string {
  const items = messages.map(
    ({ at, to, text, provider }) =>
      `<article><header><span><b>${escapeHtml(provider)}</b> ${escapeHtml(to)}</span><time>${new Date(at).toISOString()}</time></header><p>${escapeHtml(text)}</p></article>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>Sandbox: what people see</title><style>${style}</style></head>
<body><h1>Sandbox: what people see</h1>${items.join('\n') || '<p>No message has arrived yet.</p>'}</body></html>`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return text.replace(/[&<>"]/g, (char) => entities[char] ?? char);
}
