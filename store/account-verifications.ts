/** What asking a provider whether an account works came to, the last time. */
import { Type, type Static } from 'typebox';
import { outcomeClasses } from '../contracts/outcome.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson, type Database } from './database.ts';

const VerificationSchema = Type.Object({
  works: Type.Boolean(),
  outcome: Type.Object({
    class: Type.Enum([...outcomeClasses]),
    providerCode: Type.Optional(Type.String()),
    providerMessage: Type.Optional(Type.String()),
  }),
  durationMs: Type.Integer(),
});
export type Verification = Static<typeof VerificationSchema>;

export interface AccountVerifications {
  /** Takes the place of the one before. */
  record(accountId: string, verification: Verification): Promise<void>;
  /** Undefined: it was never asked for. `verifiedAt`: ISO time. */
  last(accountId: string): Promise<(Verification & { readonly verifiedAt: string }) | undefined>;
}

interface VerificationRow {
  accountId: string;
  verifiedAt: Date;
  result: string;
}

const validator = createValidator(VerificationSchema);

export function createAccountVerifications(db: Database): AccountVerifications {
  const rows = () => db<VerificationRow>('accountVerifications');
  return {
    record: async (accountId, verification) => {
      const row = { accountId, verifiedAt: new Date(), result: JSON.stringify(verification) };
      await rows().insert(row).onConflict('accountId').merge();
    },
    last: async (accountId) => {
      const row = await rows().where({ accountId }).first();
      if (row === undefined) return undefined;
      const verification = readJson(row.result, validator, `the last verify of ${accountId}`);
      return { ...verification, verifiedAt: row.verifiedAt.toISOString() };
    },
  };
}
