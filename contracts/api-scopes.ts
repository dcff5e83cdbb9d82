/** What an API key may do at ingest. Carried by: admin API ↔ people; store → ingest. */
import { Type } from 'typebox';

/** Scope → what it opens. Which route needs which: `ingest/scopes.ts`. */
const meanings = {
  'messages:send': 'send messages',
  'messages:read': 'ask where messages are, search them',
  'messages:recall': 'recall, pause, resume and redrive messages',
  people: 'people, their preferences, devices, consents and suppressions; erasures',
  inbox: "people's inboxes, and tokens for their browsers",
  batches: 'batches with uploaded recipients',
  webhooks: 'where results are told, and what was tried there',
} as const;
export type ApiScope = keyof typeof meanings;
export const apiScopes = Object.keys(meanings) as ApiScope[];

export const ApiScopesSchema = Type.Array(Type.Enum([...apiScopes]), {
  minItems: 1,
  uniqueItems: true,
  description: `What the key may do; default: everything. ${Object.entries(meanings)
    .map(([scope, meaning]) => `\`${scope}\`: ${meaning}`)
    .join('; ')}.`,
  examples: [['messages:send', 'messages:read']],
});
