/** How admin's routes answer with a version of a template, and what they log of it. */
import type { TemplateVersion } from '../contracts/template-version.ts';
import type { Reply } from '../platform/http.ts';

/** A version with its ETag, which is its edition; 202 and 201 also say where it is. */
export function editioned(status: 200 | 201 | 202, version: TemplateVersion): Reply {
  const location = `/v1/templates/${version.templateId}/versions/${version.version}`;
  return {
    status,
    body: version,
    headers: { etag: `"${version.edition}"`, ...(status !== 200 && { location }) },
  };
}

/** The fields of a log line about a version. */
export function versionEvent(
  { tenantId, templateId, name, version, state }: TemplateVersion,
  more: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return { tenantId, templateId, template: name, version, state, ...more };
}
