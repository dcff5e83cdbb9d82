/** A template looked at before anybody stores it: what is wrong with it, and how it comes out. */
import { Type } from 'typebox';
import { LocaleSchema, localeFault } from '../../contracts/locale.ts';
import { VariablesSchema, type Variables } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { LintSchema } from '../../contracts/template-lint.ts';
import { TemplateEditSchema, type TemplateEdit } from '../../contracts/template.ts';
import { route, type Route } from '../../platform/http.ts';
import {
  checkVariables,
  chooseLocale,
  errorsOf,
  lintTemplate,
  partFor,
  renderContent,
  sampleVariables,
  withCanonicalLocales,
} from '../../templates/index.ts';
import { refuse, schemaFaults, type AdminDeps, type Administrator } from '../deps.ts';

const TemplateBodySchema = Type.Object(
  { template: TemplateEditSchema },
  { additionalProperties: false },
);
const PreviewSchema = Type.Object(
  {
    template: TemplateEditSchema,
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
const PreviewReplySchema = Type.Object({
  contents: Type.Record(
    Type.String(),
    Type.Object({
      content: Type.Unknown({ description: 'What the connector would get.' }),
      locale: Type.Optional(
        Type.String({ description: 'Its language, where the template names its languages.' }),
      ),
      text: Type.String({ description: 'What people would read.' }),
      faults: Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() })),
    }),
    { description: 'By connector.' },
  ),
  ...LintSchema.properties,
});

const tag = 'Templates';

/** The routes. */
export function templateLintRoutes(deps: AdminDeps): Route<Administrator>[] {
  const lint = (edit: TemplateEdit) =>
    lintTemplate(edit, { connectors: deps.connectors, schemaFaults });
  return [
    route<Administrator, typeof TemplateBodySchema>({
      method: 'post',
      path: '/v1/templates/lint',
      operationId: 'lintTemplate',
      summary: 'Say what is wrong with a template',
      description:
        'Errors keep it from being published, warnings do not. Contents are rendered with sample values and with the longest that variables may have; `sizes` says how long they come out.',
      tag,
      body: TemplateBodySchema,
      responses: { 200: { description: 'What was found; it may be nothing.', schema: LintSchema } },
      problems: [],
      handle: async ({ body: { template } }) => ({ status: 200, body: lint(template) }),
    }),
    route<Administrator, typeof PreviewSchema>({
      method: 'post',
      path: '/v1/templates/preview',
      operationId: 'previewTemplate',
      summary: 'Check and render a template without storing it',
      description:
        'Without `variables` every variable gets a sample. Errors of the lint are the problem validation-failed; its warnings come with the contents.',
      tag,
      body: PreviewSchema,
      responses: { 200: { description: 'Rendered.', schema: PreviewReplySchema } },
      problems: ['variables-invalid'],
      handle: async ({ body: { template: written, variables, locale } }) => {
        const found = lint(written);
        refuse(errorsOf(found).map((one) => ({ ...one, pointer: `/template${one.pointer}` })));
        refuseLocale(locale);
        const template = withCanonicalLocales(written);
        const values = variables ?? sampleVariables(template);
        const unfit = checkVariables(template, values);
        if (unfit.length > 0) throw problem('variables-invalid', { errors: unfit });
        const contents = Object.keys(template.contents).map((name) => [
          name,
          preview(deps, template, { name, values, wanted: locale }),
        ]);
        return { status: 200, body: { contents: Object.fromEntries(contents), ...found } };
      },
    }),
  ];
}

/** Errors: validation-failed. */
export function refuseLocale(locale: string | undefined): void {
  const detail = locale === undefined ? undefined : localeFault(locale);
  if (detail !== undefined) refuse([{ pointer: '/locale', detail }]);
}

function preview(
  { connectors }: AdminDeps,
  template: TemplateEdit,
  of: { readonly name: string; readonly values: Variables; readonly wanted: string | undefined },
) {
  const { name, values: variables } = of;
  const language = chooseLocale(template, name, { message: of.wanted });
  const locale = language?.locale;
  const rendered = renderContent(template, name, { variables, locale });
  const told = locale === undefined ? {} : { locale };
  if (rendered.result === 'template-error') {
    const { pointer, detail } = rendered;
    return {
      content: null,
      ...told,
      text: '',
      faults: [{ pointer: `/template${pointer}`, detail }],
    };
  }
  const connector = connectors.get(name);
  if (connector === undefined) throw new Error(`${name} passed the lint but is no connector`);
  const { content } = rendered;
  const base = partFor(template, name, locale)?.pointer ?? '';
  const faults = schemaFaults(connector.contentSchema, content).map((fault) => ({
    ...fault,
    pointer: `/template${base}${fault.pointer}`,
  }));
  const text = faults.length > 0 ? '' : connector.contentText(content);
  return { content, ...told, text, faults };
}
