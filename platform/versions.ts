/** Editing without losing somebody else's edit: ETag out, If-Match in. */
import { problem } from '../contracts/problems.ts';
import type { Reply } from './http.ts';

export const ifMatchHeader = {
  'If-Match':
    'The ETag of what you read, such as "3"; the edit is refused if it has changed since.',
} as const;

/** The version that a caller edits. Errors: precondition-required, validation-failed. */
export function expectedVersion(headers: Readonly<Record<string, string | undefined>>): number {
  const value = headers['if-match'];
  const pointer = 'header/if-match';
  if (value === undefined)
    throw problem('precondition-required', {
      detail: 'Send If-Match with the ETag of what you read.',
      errors: [{ pointer, detail: 'is required' }],
    });
  // A proxy that compresses answers weakens their ETags.
  const [, version] = /^(?:W\/)?"([1-9][0-9]{0,8})"$/.exec(value.trim()) ?? [];
  if (version === undefined)
    throw problem('validation-failed', {
      detail: 'If-Match must be one ETag, such as "3".',
      errors: [{ pointer, detail: 'must be one ETag, such as "3"' }],
    });
  return Number(version);
}

/** An answer with a versioned thing and its ETag. */
export function versioned(status: 200 | 201, body: { version: number }, location?: string): Reply {
  return {
    status,
    body,
    headers: { etag: `"${body.version}"`, ...(location !== undefined && { location }) },
  };
}
