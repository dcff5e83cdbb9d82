/** Liquid as templates may use it: no files, no clock, no chance, no way out of the given variables, and limits on all work. */
import { Liquid, LiquidError, type Template as Parsed } from 'liquidjs';

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

type Filter = (this: unknown, ...args: unknown[]) => unknown;

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
    locale: 'en-US',
  });
  for (const tag of removedTags) delete engine.tags[tag];
  delete engine.filters['sample'];
  for (const name of dateFilters) {
    const given = engine.filters[name] as Filter;
    // A repeat of a delivery must be the same to the byte, so a text may not read the clock.
    engine.registerFilter(name, function (this: unknown, value: unknown, ...args: unknown[]) {
      if (value === 'now' || value === 'today')
        throw new TemplateError(`"${value}" is not available; pass the date as a variable`);
      return given.call(this, value, ...args);
    } as never);
  }
  return engine;
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

/** Renders a text. Errors: TemplateError. */
export function renderText(text: string, scope: object): string {
  // Most strings of a content are not templates at all.
  if (!text.includes('{{') && !text.includes('{%')) return text;
  const parsed = parseTemplate(text);
  return explained(() => String(engine.renderSync(parsed, scope)));
}

/** The variables that a text reads from outside itself. Errors: TemplateError. */
export function variablesOf(text: string): string[] {
  const parsed = parseTemplate(text);
  return explained(() => Object.keys(engine.analyzeSync(parsed, { partials: false }).globals));
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
