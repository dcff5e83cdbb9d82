/** An account's settings and secrets, narrowed to what the connector's schemas say. */
import type { Static, TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import type { AccountAccess } from '../../contracts/channel.ts';

/** Narrows an account. Errors: name the faulty fields, never their values. */
export function checkAccount<Settings extends TSchema, Secrets extends TSchema>(
  connector: string,
  schemas: { readonly settingsSchema: Settings; readonly secretsSchema: Secrets },
  account: AccountAccess,
): AccountAccess<Static<Settings>, Static<Secrets>> {
  const { id, tenantId, settings, secrets } = account;
  for (const [part, schema, value] of [
    ['settings', schemas.settingsSchema, settings],
    ['secrets', schemas.secretsSchema, secrets],
  ] as const)
    if (!Check(schema, value)) {
      const fields = Errors(schema, value).map((error) => error.instancePath || '/');
      throw new Error(`the ${part} of account ${id} do not fit ${connector}: ${fields.join(', ')}`);
    }
  return {
    id,
    tenantId,
    settings: settings as Static<Settings>,
    secrets: secrets as Static<Secrets>,
  };
}
