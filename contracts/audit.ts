/** The audit log: who asked for which change, and what it came to. Carried by: admin → MySQL. */
import { Type, type Static } from 'typebox';

export const AuditEntrySchema = Type.Object({
  id: Type.String({ description: 'Higher is later.', examples: ['1024'] }),
  at: Type.String({ format: 'date-time', description: 'When it was asked for.' }),
  actor: Type.Optional(
    Type.Object(
      { id: Type.String(), name: Type.String() },
      { description: 'Who asked; absent: who had not signed in.' },
    ),
  ),
  operationId: Type.String(),
  tenantId: Type.Optional(Type.String()),
  target: Type.Optional(Type.Object({ type: Type.String(), id: Type.Optional(Type.String()) })),
  before: Type.Optional(Type.Unknown({ description: 'What it was; secrets are left out.' })),
  after: Type.Optional(Type.Unknown({ description: 'What was answered; secrets are left out.' })),
  requestId: Type.String({ description: 'As in the logs and in x-request-id.' }),
  status: Type.Optional(
    Type.Integer({
      description:
        'HTTP status of the answer; absent: it never came to one, so look at the target.',
    }),
  ),
  problem: Type.Optional(Type.String({ description: 'Code of the problem that was answered.' })),
});
export type AuditEntry = Static<typeof AuditEntrySchema>;
