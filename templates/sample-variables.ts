import type { Variables } from '../contracts/message.ts';
import type { Template, Variable } from '../contracts/template.ts';

type Declared = Pick<Template, 'variables'>;

/** A value for every variable: its own name (as far as it fits), 1, or true. */
export function sampleVariables(template: Declared): Variables {
  return filled(template, (name, { type, maxLength }) => {
    if (type === 'string') return name.slice(0, maxLength ?? name.length);
    return type === 'number' ? 1 : true;
  });
}

/**
 * Values of which every string is as long as it may be, or one character: with flags set and not, with optional variables
 * and without, so that both ways of a condition are walked. A string without a maxLength is as long as its sample.
 */
export function extremeVariables(template: Declared, length: 'longest' | 'shortest'): Variables[] {
  return [true, false].flatMap((flag) => {
    const all = filled(template, (name, { type, maxLength = name.length }) => {
      if (type === 'boolean') return flag;
      if (type === 'number') return length === 'longest' ? Number.MAX_SAFE_INTEGER : 1;
      // Three bytes and one character: what texts here are made of.
      return length === 'longest' ? '长'.repeat(maxLength) : '1';
    });
    const required = Object.entries(all).filter(
      ([name]) => template.variables[name]?.required !== false,
    );
    return [all, Object.fromEntries(required)];
  });
}

function filled(
  template: Declared,
  value: (name: string, variable: Variable) => string | number | boolean,
): Variables {
  return Object.fromEntries(
    Object.entries(template.variables).map(([name, variable]) => [name, value(name, variable)]),
  );
}
