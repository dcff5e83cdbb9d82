/** A version of a template, a draft too, sent once to a sandbox: as its provider would take it, to nobody real. */
import { randomBytes } from 'node:crypto';
import { Type } from 'typebox';
import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { LocaleSchema } from '../../contracts/locale.ts';
import { addressOf, ToSchema, VariablesSchema, type To } from '../../contracts/message.ts';
import { outcomeClasses, type SendOutcome } from '../../contracts/outcome.ts';
import { problem } from '../../contracts/problems.ts';
import type { TemplateEdit } from '../../contracts/template.ts';
import { deliveryKey } from '../../platform/delivery-key.ts';
import { route, type Route } from '../../platform/http.ts';
import {
  checkVariables,
  chooseLocale,
  renderContent,
  sampleVariables,
} from '../../templates/index.ts';
import { refuse, schemaFaults, type AdminDeps, type Administrator } from '../deps.ts';
import { refuseLocale } from './template-lint.ts';
import { versionEvent } from '../template-version-replies.ts';

const TestSchema = Type.Object(
  {
    accountId: Type.String({ description: 'A channel account of the tenant with isSandbox.' }),
    to: ToSchema,
    variables: Type.Optional(VariablesSchema),
    locale: Type.Optional(
      Type.Unsafe<string>({
        ...LocaleSchema,
        description: "As a message would ask for it; default: the template's own.",
      }),
    ),
  },
  { additionalProperties: false },
);
const TestReplySchema = Type.Object({
  isAccepted: Type.Boolean({ description: 'Whether the sandbox took it.' }),
  outcome: Type.Object({
    class: Type.Enum([...outcomeClasses]),
    providerId: Type.Optional(Type.String()),
    providerCode: Type.Optional(Type.String()),
    providerMessage: Type.Optional(Type.String()),
  }),
  locale: Type.Optional(
    Type.String({ description: 'Its language, where the template names its languages.' }),
  ),
  text: Type.String({ description: 'What people would read.' }),
});

const marginMs = 2000;

/** The routes. */
export function templateTestRoutes({
  store,
  connectors,
  logger,
}: AdminDeps): Route<Administrator>[] {
  /** Errors: validation-failed: not an account of the tenant's at a sandbox. */
  const sandboxAccount = async (accountId: string, tenantId: string) => {
    const account = await store.channelAccounts.get(accountId);
    const access = await store.channelAccounts.access(accountId);
    const connector = account && connectors.get(account.connector);
    if (account?.tenantId !== tenantId || access === undefined || connector === undefined)
      return refuseField('/accountId', `is no channel account of tenant "${tenantId}"`);
    if (!account.isSandbox)
      return refuseField(
        '/accountId',
        'does not lead to a sandbox (isSandbox): it would reach people',
      );
    return { access, connector };
  };

  return [
    route<Administrator, typeof TestSchema>({
      method: 'post',
      path: '/v1/templates/:id/versions/:version/test',
      operationId: 'testTemplateVersion',
      summary: 'Send one version to a sandbox',
      description:
        'Of any state; without `variables` every variable gets a sample. One call through the account, beside limits and retries, and no message: nothing is indexed or reported.',
      tag: 'Template versions',
      params: { id: 'Id of the template: tpl_…', version: 'Number of the version.' },
      body: TestSchema,
      responses: { 200: { description: 'What the sandbox said.', schema: TestReplySchema } },
      problems: ['not-found', 'variables-invalid'],
      handle: async ({ params: { id = '', version = '' }, body, requestId }) => {
        const written = await store.templateVersions.get(id, Number.parseInt(version, 10) || 0);
        if (written === undefined)
          throw problem('not-found', { detail: `There is no version ${version} of "${id}".` });
        const { template } = written;
        const { access, connector } = await sandboxAccount(body.accountId, written.tenantId);
        requireReachable(connector, access, body.to);
        refuseLocale(body.locale);
        const variables = body.variables ?? sampleVariables(template);
        const unfit = checkVariables(template, variables);
        if (unfit.length > 0) throw problem('variables-invalid', { errors: unfit });
        const locale = chooseLocale(template, connector.name, { message: body.locale })?.locale;
        const content = contentFor(template, connector, { variables, locale });
        const outcome = await sendOnce(connector, access, { to: body.to, content });
        const { class: outcomeClass } = outcome;
        const { connector: name, accountId } = { connector: connector.name, ...body };
        logger.info(
          versionEvent(written, { accountId, connector: name, outcomeClass, requestId }),
          'template-version.tested',
        );
        const isAccepted = outcomeClass === 'accepted' || outcomeClass === 'duplicate';
        const text = connector.contentText(content);
        const language = locale === undefined ? {} : { locale };
        return { status: 200, body: { isAccepted, outcome: toldOf(outcome), ...language, text } };
      },
    }),
  ];
}

function refuseField(pointer: string, detail: string): never {
  throw problem('validation-failed', {
    detail: `${pointer} ${detail}`,
    errors: [{ pointer, detail }],
  });
}

function requireReachable(connector: Connector, { settings }: AccountAccess, to: To): void {
  const { kind } = addressOf(to);
  const kinds = connector.addressKinds.filter(
    (one) => !(connector.hasDevices === true && one === 'userId'),
  );
  if (!kinds.includes(kind))
    refuseField(`/to/${kind}`, `does not fit ${connector.name}; give ${kinds.join(' or ')}`);
  const fault = connector.addressFault(to, settings);
  if (fault !== undefined) refuseField(`/to/${kind}`, fault);
}

/** The rendered content. Errors: validation-failed: the version says nothing for this connector, or nothing that it takes. */
function contentFor(
  template: TemplateEdit,
  connector: Connector,
  values: Parameters<typeof renderContent>[2],
): unknown {
  if (!Object.hasOwn(template.contents, connector.name))
    return refuseField('/accountId', `speaks ${connector.name}, for which there is no content`);
  const rendered = renderContent(template, connector.name, values);
  if (rendered.result === 'template-error')
    return refuseField('/variables', `do not render ${rendered.pointer}: ${rendered.detail}`);
  refuse(
    schemaFaults(connector.contentSchema, rendered.content).map(({ pointer, detail }) => ({
      pointer: '/variables',
      detail: `make ${pointer} of ${connector.name} unfit: ${detail}`,
    })),
  );
  return rendered.content;
}

async function sendOnce(
  connector: Connector,
  access: AccountAccess,
  { to, content }: { to: To; content: unknown },
): Promise<SendOutcome> {
  const client = connector.createClient(access);
  try {
    // In no form of ours: a receipt of it must find no message.
    const messageId = `test_${randomBytes(12).toString('hex')}`;
    return await client.send({
      to,
      content,
      deliveryKey: deliveryKey({ messageId, redrive: 0, connector: connector.name, to }),
      signal: AbortSignal.timeout(connector.capabilities.callTimeoutMs + marginMs),
    });
  } finally {
    await client.close();
  }
}

function toldOf(outcome: SendOutcome) {
  const { providerCode, providerMessage } = outcome;
  const providerId = 'providerId' in outcome ? outcome.providerId : undefined;
  return {
    class: outcome.class,
    ...(providerId !== undefined && { providerId }),
    ...(providerCode !== undefined && { providerCode }),
    ...(providerMessage !== undefined && { providerMessage }),
  };
}
