import type { Variables } from '../contracts/message.ts';
import type { FieldFault } from '../contracts/problems.ts';
import type { Template, Variable } from '../contracts/template.ts';
import { escapePointer } from './content.ts';

/** What is wrong with a message's variables for this template: a fault for each missing, unknown or unfit one. */
export function checkVariables(
  template: Pick<Template, 'variables'>,
  variables: Variables,
): FieldFault[] {
  const faults: FieldFault[] = [];
  const add = (name: string, detail: string) =>
    faults.push({ pointer: `/variables/${escapePointer(name)}`, detail });
  for (const [name, declared] of Object.entries(template.variables)) {
    if (!Object.hasOwn(variables, name)) {
      if (declared.required !== false) add(name, 'is required by the template');
      continue;
    }
    const detail = valueFault(declared, variables[name]);
    if (detail !== undefined) add(name, detail);
  }
  for (const name of Object.keys(variables))
    if (!Object.hasOwn(template.variables, name)) add(name, 'is not a variable of the template');
  return faults;
}

function valueFault({ type, maxLength }: Variable, value: unknown): string | undefined {
  if (typeof value !== type) return `must be a ${type}`;
  if (typeof value === 'number' && !Number.isFinite(value)) return 'must be a finite number';
  if (typeof value !== 'string') return undefined;
  if (/\p{Surrogate}/u.test(value)) return 'holds half a character (a lone surrogate)';
  const isTooLong =
    maxLength !== undefined && value.length > maxLength && Array.from(value).length > maxLength;
  return isTooLong ? `may have ${maxLength} characters at most` : undefined;
}
