/** Liquid as templates may use it: no files, no clock, no chance, no way out of the given variables, and limits on all work. */
import {
  Context,
  Liquid,
  LiquidError,
  Output,
  toValueSync,
  type Template as Parsed,
} from 'liquidjs';

/** A template text that cannot be read or rendered. The message names the place, never a variable's value. */
export class TemplateError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'TemplateError';
  }
}

/** Longest single template text, in UTF-16 units. */
const maxTextLength = 64 * 1024;
/** Rendering is plain computation; what takes longer than this is a loop that was not meant. */
const renderLimitMs = 1000;
const memoryLimit = 2_000_000;
/** Of the names in dates, where a template names no language. */
const plainLocale = 'en-US';
const cachedTexts = 5000;
const cachedLength = 16_000_000;

/** Other texts, and what repeats of itself: one text must be whole and always come out the same. */
const removedTags = ['include', 'render', 'layout', 'block', 'increment', 'decrement'];
const dateFilters = [
  'date',
  'date_to_xmlschema',
  'date_to_rfc822',
  'date_to_string',
  'date_to_long_string',
];

type Filter = (this: { readonly context: Context }, ...args: unknown[]) => unknown;

function createEngine(): Liquid {
  const engine = new Liquid({
    strictFilters: true,
    strictVariables: true,
    ownPropertyOnly: true,
    templates: {},
    parseLimit: maxTextLength,
    renderLimit: renderLimitMs,
    memoryLimit,
    timezoneOffset: 0,
    locale: plainLocale,
  });
  for (const tag of removedTags) delete engine.tags[tag];
  delete engine.filters['sample'];
  for (const name of dateFilters) {
    const given = engine.filters[name] as Filter;
    // A repeat of a delivery must be the same to the byte, so a text may not read the clock.
    engine.registerFilter(name, function (
      this: ThisParameterType<Filter>,
      value: unknown,
      ...args: unknown[]
    ) {
      if (value === 'now' || value === 'today')
        throw new TemplateError(`"${value}" is not available; pass the date as a variable`);
      if (name !== 'date' || typeof args[0] !== 'string') return given.call(this, value, ...args);
      const [format, zone] = args;
      const wall = String(given.call(this, value, '%Y-%m-%dT%H:%M:%S', zone));
      return given.call(this, value, spellOut(format, wall, this.context.opts.locale), zone);
    } as never);
  }
  return engine;
}

/** `%x`, `%X` and `%c` as the language has them; the library takes that of the machine. `wall`: the time on the wall. */
function spellOut(format: string, wall: string, locale: string): string {
  const at = new Date(`${wall}Z`);
  if (Number.isNaN(at.getTime())) return format;
  const written = {
    x: () => at.toLocaleDateString(locale, { timeZone: 'UTC' }),
    X: () => at.toLocaleTimeString(locale, { timeZone: 'UTC' }),
    c: () => at.toLocaleString(locale, { timeZone: 'UTC' }),
  };
  return format.replaceAll(
    /%(?:%|[-_0^#:]*\d*[EO]?([xXc]))/g,
    (code, letter?: keyof typeof written) =>
      letter === undefined ? code : written[letter]().replaceAll('%', '%%'),
  );
}

const engine = createEngine();
const cache = new Map<string, Parsed[]>();
let cacheLength = 0;

/** A text, read; the last few thousand are kept. Errors: TemplateError. */
export function parseTemplate(text: string): Parsed[] {
  const held = cache.get(text);
  if (held !== undefined) {
    cache.delete(text);
    cache.set(text, held);
    return held;
  }
  if (text.length > maxTextLength)
    throw new TemplateError(`is longer than ${maxTextLength} characters`);
  const parsed = explained(() => engine.parse(text));
  cache.set(text, parsed);
  cacheLength += text.length;
  for (const oldest of cache.keys()) {
    if (cache.size <= cachedTexts && cacheLength <= cachedLength) break;
    cache.delete(oldest);
    cacheLength -= oldest.length;
  }
  return parsed;
}

/** Renders a text, with the dates of a language. Errors: TemplateError. */
export function renderText(text: string, scope: object, locale = plainLocale): string {
  // Most strings of a content are not templates at all.
  if (!text.includes('{{') && !text.includes('{%')) return text;
  const parsed = parseTemplate(text);
  const options = { ...engine.options, locale };
  const context = new Context(scope, options, { sync: true }, { liquid: engine });
  return explained(() => String(engine.renderSync(parsed, context)));
}

/** The variables that a text reads from outside itself. Errors: TemplateError. */
export function variablesOf(text: string): string[] {
  const parsed = parseTemplate(text);
  return explained(() => Object.keys(engine.analyzeSync(parsed, { partials: false }).globals));
}

/** The variables that a text prints as they are: without a default, and outside every condition on them. Errors: TemplateError. */
export function printedAsTheyAre(text: string): string[] {
  return explained(() => [...printed(parseTemplate(text), new Set())]);
}

function* printed(texts: readonly Parsed[], guarded: ReadonlySet<string>): Generator<string> {
  for (const one of texts) {
    if (one instanceof Output) {
      if (one.value.filters.some(({ name }) => name === 'default')) continue;
      for (const name of namesIn(one)) if (!guarded.has(name)) yield name;
    } else if (one.children !== undefined) {
      // What a tag asks about, `{% if a %}`, guards all that is inside it.
      const inner = new Set([...guarded, ...namesIn(one)]);
      yield* printed(toValueSync(one.children(false, true)), inner);
    }
  }
}

/** The variables that a piece of a text itself names, without its children. */
function namesIn(piece: Parsed): string[] {
  const alone = { arguments: () => piece.arguments?.() ?? [] } as unknown as Parsed;
  return Object.keys(engine.analyzeSync([alone], { partials: false }).globals);
}

function explained<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof TemplateError) throw error;
    if (LiquidError.is(error)) throw new TemplateError(placed(error), error);
    throw error;
  }
}

// Of what went wrong inside a filter only the place is told: its own text may quote a variable's value.
function placed(error: LiquidError): string {
  const [line = ''] = error.message.split('\n');
  const ours = error.originalError instanceof TemplateError;
  const isSafe =
    ours ||
    error.name === 'ParseError' ||
    error.name === 'TokenizationError' ||
    error.name === 'UndefinedVariableError' ||
    /limit exceeded/.test(line);
  const place = /line:\d+, col:\d+$/.exec(line)?.[0] ?? '';
  return isSafe ? line : `cannot be computed, ${place}`;
}
