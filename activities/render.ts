/** Stage 4: pins the template's version and checks that it renders, before any provider is called. */
import type { RenderInput, RenderResult } from '../contracts/activities.ts';
import type { Connector } from '../contracts/channel.ts';
import type { Template } from '../contracts/template.ts';
import { renderContent } from '../templates/index.ts';
import type { OpenRequest } from './sealed-request.ts';

/** Room for everything in an attempt that is not the provider's call. */
const attemptMarginMs = 5_000;

export interface RenderDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly hasAccount: (accountId: string) => Promise<boolean>;
  /** The template's newest version; for a deleted one, the last it had. */
  readonly currentTemplate: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly openRequest: OpenRequest;
}

/** Makes the render activity. Errors: the store does not answer; the server calls again. */
export function createRender(deps: RenderDeps) {
  const { connectors, hasAccount, currentTemplate, openRequest } = deps;
  return async function render({ message }: RenderInput): Promise<RenderResult> {
    const invalid = (detail: string): RenderResult => ({
      ok: false,
      reason: { code: 'template-invalid', detail },
    });
    const connector = connectors.get(message.connector);
    if (connector === undefined)
      return invalid(`connector ${message.connector} is not part of this installation`);
    if (!(await hasAccount(message.accountId)))
      return {
        ok: false,
        reason: {
          code: 'account-removed',
          detail: `channel account ${message.accountId} was removed after the message was accepted`,
        },
      };
    const template = await currentTemplate(message.tenantId, message.template);
    if (template === undefined)
      return invalid(`template ${message.template} was deleted after the message was accepted`);
    const { variables } = openRequest(message);
    const rendered = renderContent(template, message.connector, variables);
    if (rendered.result === 'template-error') return invalid(rendered.detail);
    const { callTimeoutMs, canReconcile } = connector.capabilities;
    return {
      ok: true,
      templateVersion: template.version,
      attemptTimeoutMs: callTimeoutMs * (canReconcile ? 2 : 1) + attemptMarginMs,
      ...(template.isSearchable === true && { content: connector.contentText(rendered.content) }),
    };
  };
}
