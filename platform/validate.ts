/** Schema checks with faults that a person can act on: a JSON Pointer and a sentence. */
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { FieldFault } from '../contracts/problems.ts';

export interface Validator<T = unknown> {
  check(value: unknown): value is T;
  /** All faults found (at least the first eight); an empty list is a valid value. */
  faults(value: unknown): FieldFault[];
  /** Turns strings into the numbers and booleans the schema wants, where they are such. */
  convert(value: unknown): unknown;
}

interface SchemaError {
  readonly keyword: string;
  /** JSON Pointer fragment of the failed schema. */
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly params: unknown;
  readonly message: string;
}

/** Compiles a schema once; keep the result. */
export function createValidator<S extends TSchema>(schema: S): Validator<Static<S>> {
  const compiled = Compile(schema);
  return {
    check: (value): value is Static<S> => compiled.Check(value),
    faults: (value) => (compiled.Check(value) ? [] : toFaults(compiled.Errors(value), schema)),
    convert: (value) => compiled.Convert(value),
  };
}

function toFaults(errors: readonly SchemaError[], schema: TSchema): FieldFault[] {
  const faults = new Map<string, string>();
  const add = (pointer: string, detail: string) => {
    if (!faults.has(pointer)) faults.set(pointer, detail);
  };
  for (const error of errors) {
    const params = error.params as Record<string, unknown>;
    switch (error.keyword) {
      case 'required':
        for (const name of params['requiredProperties'] as string[])
          add(`${error.instancePath}/${escapePointer(name)}`, 'is required');
        break;
      case 'boolean':
        add(error.instancePath, 'is not known here');
        break;
      case 'additionalProperties':
      case 'anyOf':
        break;
      case 'enum':
        add(
          error.instancePath,
          `must be one of ${(params['allowedValues'] as unknown[]).join(', ')}`,
        );
        break;
      case 'minProperties':
      case 'maxProperties':
      case 'pattern': {
        // A person is helped by what the pattern means, not by the pattern.
        const meaning = descriptionAt(schema, error.schemaPath);
        add(error.instancePath, meaning === undefined ? error.message : `must be: ${meaning}`);
        break;
      }
      default:
        add(error.instancePath, error.message);
    }
  }
  // A union leaves only its own line when none of its branches said anything more useful.
  if (faults.size === 0) for (const error of errors) add(error.instancePath, error.message);
  return [...faults].map(([pointer, detail]) => ({ pointer, detail }));
}

function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function descriptionAt(schema: TSchema, schemaPath: string): string | undefined {
  let at: unknown = schema;
  for (const part of schemaPath.split('/').slice(1))
    at = (at as Record<string, unknown> | undefined)?.[
      part.replaceAll('~1', '/').replaceAll('~0', '~')
    ];
  const { description } = (at ?? {}) as { description?: unknown };
  return typeof description === 'string' ? description : undefined;
}
