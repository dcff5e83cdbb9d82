/** What the simulated WeChat refuses in a message, before it looks at quotas: form, template, page, values. */
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { parseJson } from '../kit/answers.ts';
import type { AppEntry, TemplateEntry } from './simulator-settings.ts';
import { unfitField } from './values.ts';

export interface Refusal {
  readonly errcode: number;
  readonly errmsg: string;
}
export const refuse = (errcode: number, errmsg: string): Refusal => ({ errcode, errmsg });
export const isRefusal = (value: object): value is Refusal => 'errcode' in value;

/** The three ways to send, by path. */
export const sendPaths = {
  '/cgi-bin/message/template/send': { library: 'template', kind: 'official' },
  '/cgi-bin/message/subscribe/bizsend': { library: 'subscribe', kind: 'official' },
  '/cgi-bin/message/subscribe/send': { library: 'subscribe', kind: 'miniprogram' },
} as const;
export type SendPath = keyof typeof sendPaths;
export const isSendPath = (path: string): path is SendPath => Object.hasOwn(sendPaths, path);

const Word = Type.Union([Type.String(), Type.Number()]);
const BodySchema = Type.Object({
  touser: Type.String(),
  template_id: Type.String(),
  data: Type.Record(
    Type.String(),
    Type.Object({ value: Word, color: Type.Optional(Type.String()) }),
  ),
  url: Type.Optional(Type.String()),
  page: Type.Optional(Type.String()),
  miniprogram: Type.Optional(
    Type.Object({ appid: Type.String(), pagepath: Type.Optional(Type.String()) }),
  ),
  miniprogram_state: Type.Optional(Type.Enum(['developer', 'trial', 'formal'])),
  lang: Type.Optional(Type.Enum(['zh_CN', 'en_US', 'zh_HK', 'zh_TW'])),
  // How long it may be is not published; 32 is an assumption.
  client_msg_id: Type.Optional(Type.String({ minLength: 1, maxLength: 32 })),
});

export interface Draft {
  readonly app: AppEntry;
  readonly openid: string;
  readonly template: TemplateEntry;
  readonly clientMsgId: string | undefined;
  /** As the person sees it. */
  readonly text: string;
}

/** Reads a body. Order of the checks: an assumption. */
export function readMessage(app: AppEntry, path: SendPath, body: Buffer): Draft | Refusal {
  const { library, kind } = sendPaths[path];
  if (app.kind !== kind) return refuse(48001, 'api unauthorized');
  if (body.length === 0) return refuse(44002, 'empty post data');
  const message = parseJson(body.toString('utf8'));
  if (!Check(BodySchema, message))
    return typeof message === 'object' && message !== null
      ? refuse(40035, `invalid parameter ${Errors(BodySchema, message)[0]?.instancePath ?? ''}`)
      : refuse(47001, 'data format error');
  if (!/^o[A-Za-z0-9_-]{27}$/.test(message.touser)) return refuse(40003, 'invalid openid');
  const template = app.templates.find(
    (each) => each.templateId === message.template_id && each.library === library,
  );
  if (template === undefined) return refuse(40037, 'invalid template_id');
  const page = kind === 'miniprogram' ? message.page?.split('?')[0] : undefined;
  if (page !== undefined && page !== '' && app.pages?.includes(page) !== true)
    return refuse(41030, 'invalid page');
  if ((message.url ?? '').length > 2048) return refuse(40039, 'invalid url size');
  const values = valuesOf(template, message.data);
  if (isRefusal(values)) return values;
  return {
    app,
    openid: message.touser,
    template,
    clientMsgId: message.client_msg_id,
    text: template.text.replaceAll(fieldPattern, (_, field: string) => values[field] ?? ''),
  };
}

const fieldPattern = /\{\{(\w+)\.DATA\}\}/g;

/** The template's own fields; what else is sent is not looked at. */
function valuesOf(
  template: TemplateEntry,
  data: Static<typeof BodySchema>['data'],
): Record<string, string> | Refusal {
  const fields = [...template.text.matchAll(fieldPattern)].map(([, field = '']) => field);
  const missing = fields.find((field) => String(data[field]?.value ?? '') === '');
  if (missing !== undefined)
    return refuse(47003, `argument invalid! data.${missing}.value is empty`);
  const values = Object.fromEntries(
    fields.map((field) => [field, String(data[field]?.value ?? '')]),
  );
  const unfit = unfitField(values);
  return unfit === undefined
    ? values
    : refuse(47003, `argument invalid! data.${unfit}.value invalid`);
}
