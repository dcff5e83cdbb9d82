/** Stage 4: pins the template's version and checks that it renders, before any provider is called. */
import type { RenderInput, RenderResult } from '../contracts/activities.ts';
import type { Connector } from '../contracts/channel.ts';
import type { AcceptedMessage, To } from '../contracts/message.ts';
import type { Template } from '../contracts/template.ts';
import type { StopVerdict } from '../store/index.ts';
import { renderContent } from '../templates/index.ts';
import type { LanguageOf } from './choose-locale.ts';
import type { Permit } from './permit.ts';
import { endIfExpired, type OpenRequest } from './sealed-request.ts';
import { attemptMarginMs } from './waits.ts';

export interface RenderDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly hasAccount: (accountId: string) => Promise<boolean>;
  /** The template's newest version; for a deleted one, the last it had. */
  readonly currentTemplate: (tenantId: string, name: string) => Promise<Template | undefined>;
  readonly openRequest: OpenRequest;
  readonly languageOf: LanguageOf;
  /** Whether its recipient may be reached so now. Errors: the problem store-unavailable. */
  readonly permit: (message: AcceptedMessage, to: To) => Promise<Permit>;
  /** Whether people have recalled or paused it. */
  readonly stopOf: (message: AcceptedMessage) => StopVerdict;
}

/** Makes the render activity. What nobody can open any more ends here. Errors: the store does not answer, or the stops cannot be read; the server calls again. */
export function createRender(deps: RenderDeps) {
  const { connectors, hasAccount, currentTemplate, openRequest, languageOf, permit, stopOf } = deps;
  return async function render({ message }: RenderInput): Promise<RenderResult> {
    const invalid = (detail: string): RenderResult => ({
      next: 'skip',
      status: 'failed',
      reason: { code: 'template-invalid', detail },
    });
    const { verdict, detail } = stopOf(message);
    if (verdict === 'blind') throw new Error(detail);
    if (verdict === 'recalled')
      return { next: 'end', status: 'recalled', reason: { code: 'recalled', detail } };
    if (verdict === 'paused') return { next: 'hold', reason: { code: 'paused', detail } };
    const connector = connectors.get(message.connector);
    if (connector === undefined)
      return invalid(`connector ${message.connector} is not part of this installation`);
    if (!(await hasAccount(message.accountId)))
      return {
        next: 'skip',
        status: 'failed',
        reason: {
          code: 'account-removed',
          detail: `channel account ${message.accountId} was removed after the message was accepted`,
        },
      };
    const template = await currentTemplate(message.tenantId, message.template);
    if (template === undefined)
      return invalid(`template ${message.template} was deleted after the message was accepted`);
    const request = await endIfExpired(() => openRequest(message));
    if ('code' in request) return { next: 'end', status: 'failed', reason: request };
    const { to, variables } = request;
    const language = await languageOf(message, { template, to });
    const rendered = renderContent(template, message.connector, {
      variables,
      locale: language?.locale,
    });
    if (rendered.result === 'template-error') return invalid(rendered.detail);
    // Last: who may go is counted against the frequency caps.
    const allowed = await permit(message, to);
    if (allowed.next !== 'go') return allowed;
    const { callTimeoutMs, canReconcile } = connector.capabilities;
    return {
      next: 'send',
      templateVersion: template.version,
      ...(language !== undefined && { language }),
      attemptTimeoutMs: callTimeoutMs * (canReconcile ? 2 : 1) + attemptMarginMs,
      ...(template.isSearchable === true && { content: connector.contentText(rendered.content) }),
    };
  };
}
