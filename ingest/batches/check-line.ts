/** A line of an upload as a member of its batch, or its faults: by the rules of a message that is posted alone. */
import { Type } from 'typebox';
import {
  batchKey,
  postOf,
  type BatchFault,
  type BatchMember,
  type PostBatch,
} from '../../contracts/batch.ts';
import { LocaleSchema, localeFault } from '../../contracts/locale.ts';
import { maxMessageBytes, ToSchema, VariablesSchema } from '../../contracts/message.ts';
import { Problem } from '../../contracts/problems.ts';
import type { Account, Template } from '../../contracts/template.ts';
import { checkRequest, type CheckDeps } from '../../platform/compose-message.ts';
import type { MessageIds } from '../../platform/message-id.ts';
import { hashRecipient } from '../../platform/recipient-hash.ts';
import type { Sealer } from '../../platform/seal.ts';
import { createValidator } from '../../platform/validate.ts';
import type { RawLine } from './read-ndjson.ts';

export interface CheckLinesDeps extends CheckDeps {
  readonly ids: Pick<MessageIds, 'derive'>;
  readonly sealer: Sealer;
}

/** What the lines of an upload are checked against. */
export interface CheckAgainst {
  readonly tenantId: string;
  readonly batchId: string;
  readonly request: PostBatch;
  readonly template: Template;
  readonly accounts: readonly Account[];
}

export type CheckedLine = { readonly member: BatchMember } | { readonly faults: BatchFault[] };

const lineValidator = createValidator(
  Type.Object(
    {
      to: ToSchema,
      variables: Type.Optional(VariablesSchema),
      locale: Type.Optional(LocaleSchema),
    },
    { additionalProperties: false },
  ),
);
const mostFaultsOfLine = 10;

/** Makes the check of one upload: it remembers who was named already. `index`: the line's place among the good ones. */
export function createCheckLine(deps: CheckLinesDeps, against: CheckAgainst) {
  const { tenantId, batchId, template, accounts, request } = against;
  // 16 bytes each, as text of one byte a character: some 80 MB for a million.
  const named = new Set<string>();

  return (raw: RawLine, index: number): CheckedLine => {
    const { line } = raw;
    const faulty = (found: readonly { pointer: string; detail: string }[]): CheckedLine => ({
      faults: found
        .slice(0, mostFaultsOfLine)
        .map(({ pointer, detail }) => ({ line, pointer, detail })),
    });
    if ('fault' in raw) return faulty([raw.fault]);
    const { value } = raw;
    if (!lineValidator.check(value)) return faulty(lineValidator.faults(value));
    const { to, variables = {}, locale } = value;
    const fault = locale === undefined ? undefined : localeFault(locale);
    if (fault !== undefined) return faulty([{ pointer: '/locale', detail: fault }]);
    const member: BatchMember = { line, to, variables, ...(locale !== undefined && { locale }) };
    const post = postOf({ id: batchId, request }, member);
    try {
      const id = deps.ids.derive(tenantId, batchKey(batchId), index);
      checkRequest(deps, { id, tenantId, post, template, accounts });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return faulty(error.options.errors ?? [{ pointer: '', detail: error.message }]);
    }
    const bytes = Buffer.byteLength(JSON.stringify(post));
    if (bytes > maxMessageBytes)
      return faulty([
        {
          pointer: '',
          detail: `makes a message of ${bytes} bytes; one may have ${maxMessageBytes}`,
        },
      ]);
    const key = Buffer.from(hashRecipient(deps.sealer, tenantId, member.to), 'hex').toString(
      'latin1',
    );
    if (named.has(key))
      return faulty([{ pointer: '/to', detail: 'is the recipient of an earlier line, too' }]);
    named.add(key);
    return { member };
  };
}
