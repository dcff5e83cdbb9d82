/** Reads SendSms and SendBatchSms as the provider does: everything is checked before anything is accepted. */
import { isRefusal, refuse, type Refusal } from './simulator-gateway.ts';
import { magicRefusals, maxTextLength, type TemplateRegistration } from './simulator-settings.ts';

/** One message that may be accepted. */
export interface Draft {
  readonly phone: string;
  readonly signName: string;
  readonly template: TemplateRegistration;
  /** As a phone shows it, with the signature in front. */
  readonly text: string;
}

export interface Catalogue {
  readonly signatures: ReadonlySet<string>;
  readonly templates: ReadonlyMap<string, TemplateRegistration>;
}

type Params = Readonly<Record<string, string>>;

const maxNumbers = 1000;
const maxBatch = 100;
const maxOutIdLength = 255;

/** Drafts of a SendSms call, or why the whole call is refused. */
export function readSendSms(params: Params, catalogue: Catalogue): readonly Draft[] | Refusal {
  const missing = missingParameter(params, ['PhoneNumbers', 'SignName', 'TemplateCode']);
  if (missing !== undefined) return missing;
  const numbers = (params['PhoneNumbers'] ?? '').split(',');
  if (numbers.length > maxNumbers) return tooMany();
  return collect(
    numbers.map((number) => ({
      number,
      signName: params['SignName'] ?? '',
      values: readValues(params['TemplateParam'] ?? '{}'),
    })),
    params,
    catalogue,
  );
}

/** Drafts of a SendBatchSms call: JSON arrays of equal length, one template. */
export function readSendBatchSms(params: Params, catalogue: Catalogue): readonly Draft[] | Refusal {
  const missing = missingParameter(params, ['PhoneNumberJson', 'SignNameJson', 'TemplateCode']);
  if (missing !== undefined) return missing;
  const numbers = readArray(params['PhoneNumberJson']);
  const signNames = readArray(params['SignNameJson']);
  const values = readArray(params['TemplateParamJson'] ?? JSON.stringify(numbers?.map(() => ({}))));
  if (numbers === undefined || signNames === undefined || values === undefined)
    return invalidJson();
  if (numbers.length === 0 || numbers.length > maxBatch) return tooMany();
  if (signNames.length !== numbers.length || values.length !== numbers.length)
    return refuse(200, 'isv.INVALID_PARAMETERS', '参数异常');
  return collect(
    numbers.map((number, index) => ({
      number: String(number),
      signName: String(signNames[index]),
      values: toValues(values[index]),
    })),
    params,
    catalogue,
  );
}

interface Wish {
  readonly number: string;
  readonly signName: string;
  readonly values: Readonly<Record<string, string>> | undefined;
}

function collect(
  wishes: readonly Wish[],
  params: Params,
  catalogue: Catalogue,
): readonly Draft[] | Refusal {
  if ((params['OutId'] ?? '').length > maxOutIdLength)
    return refuse(200, 'isv.INVALID_PARAMETERS', '参数异常');
  const template = catalogue.templates.get(params['TemplateCode'] ?? '');
  if (template === undefined)
    return refuse(200, 'isv.SMS_TEMPLATE_ILLEGAL', '该账号下找不到对应模板');
  const drafts: Draft[] = [];
  for (const wish of wishes) {
    const draft = readOne(wish, template, catalogue);
    if (isRefusal(draft)) return draft;
    drafts.push(draft);
  }
  return drafts;
}

function readOne(
  wish: Wish,
  template: TemplateRegistration,
  catalogue: Catalogue,
): Draft | Refusal {
  const { number, signName, values } = wish;
  if (values === undefined) return invalidJson();
  if (!catalogue.signatures.has(signName))
    return refuse(200, 'isv.SMS_SIGNATURE_ILLEGAL', '该账号下找不到对应签名');
  const phone = /^(?:\+86|0086|86)?(1[3-9][0-9]{9})$/.exec(number)?.[1];
  // Every template here is a domestic one, and those reach mainland numbers only.
  if (phone === undefined)
    return refuse(200, 'isv.MOBILE_NUMBER_ILLEGAL', `${number}为非法手机号码`);
  const magic = magicRefusals[phone];
  if (magic !== undefined) return refuse(200, magic, `${phone}: ${magic}`);
  const wanted = [...template.text.matchAll(/\$\{(\w+)\}/g)].map(([, name = '']) => name);
  if (wanted.some((name) => !Object.hasOwn(values, name)))
    return refuse(200, 'isv.TEMPLATE_MISSING_PARAMETERS', '模板缺少变量');
  if (wanted.some((name) => mentionsUrl(values[name] ?? '')))
    return refuse(200, 'isv.PARAM_NOT_SUPPORT_URL', '变量不支持传入URL');
  const body = template.text.replace(/\$\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
  const text = `【${signName}】${body}`;
  if (text.length > maxTextLength) return refuse(200, 'isv.PARAM_LENGTH_LIMIT', '参数超出长度限制');
  return { phone, signName, template, text };
}

const domainEndings =
  'com|cn|net|org|co|uk|us|hk|tw|jp|io|me|cc|tv|top|xyz|info|biz|vip|shop|site|link|ltd|app|dev|ai|ly|gl|club|online|store|tech|wang';
const urlPattern = new RegExp(
  `https?://|www\\.|(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\.)+(?:${domainEndings})(?![a-z0-9-])`,
  'i',
);

/** Whether a variable holds something a phone would make a link of: a scheme, www., or a bare domain. */
export function mentionsUrl(value: string): boolean {
  return urlPattern.test(value);
}

function missingParameter(params: Params, names: readonly string[]): Refusal | undefined {
  const missing = names.find((name) => (params[name] ?? '') === '');
  return missing === undefined
    ? undefined
    : refuse(400, `Missing${missing}`, `${missing} is mandatory for this action.`);
}

/** TemplateParam: a JSON object whose values are strings; numbers are refused as the documents say. */
function readValues(json: string): Record<string, string> | undefined {
  try {
    return toValues(JSON.parse(json));
  } catch {
    return undefined;
  }
}

function toValues(value: unknown): Record<string, string> | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject || !Object.values(value).every((each) => typeof each === 'string'))
    return undefined;
  return value as Record<string, string>;
}

function readArray(json: string | undefined): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(json ?? '');
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const tooMany = () => refuse(200, 'isv.MOBILE_COUNT_OVER_LIMIT', '手机号码数量超过限制');
const invalidJson = () => refuse(200, 'isv.INVALID_JSON_PARAM', 'JSON参数不合法，只接受字符串值');
