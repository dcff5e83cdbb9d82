/** What a replay comes to: counts of all that was looked at, and a few of the differences. */
import { Type, type Static } from 'typebox';
import type { FieldFault } from '../../contracts/problems.ts';
import type { Snapshot } from '../../contracts/result.ts';
import type { RenderedOne } from './render-one.ts';

const mostFaults = 50;

const count = (description: string) => Type.Integer({ minimum: 0, description });
const FaultSchema = Type.Object({
  pointer: Type.String({
    description: 'Into the template; or /variables/… of the message, which is refused then.',
  }),
  detail: Type.String(),
});
const ChangeSchema = { before: Type.Number(), after: Type.Number() };

export const replayResults = ['different', 'fails', 'mended'] as const;

export const ReplayCountsSchema = {
  looked: count('Messages looked at by this call.'),
  same: count('Come out the same, to the byte.'),
  different: count('Come out differently.'),
  fails: count('Are refused, or do not render, with the version.'),
  failsAlready: count('Of those: did not render with their own version either.'),
  mended: count('Render with the version, and did not with their own.'),
  erased: count('Left out: their person was erased.'),
  gone: count('Left out: what was asked is no longer kept, or can no longer be opened.'),
  problems: Type.Array(Type.Object({ ...FaultSchema.properties, count: Type.Integer() }), {
    description: `Why they fail, most first; at most ${mostFaults}.`,
  }),
  sizes: Type.Record(
    Type.String(),
    Type.Array(
      Type.Object({
        what: Type.String({ examples: ['segments'] }),
        ...ChangeSchema,
        longer: count('Messages that become longer.'),
        shorter: count('Messages that become shorter.'),
        tooLong: count('Messages that become longer than the provider takes.'),
      }),
    ),
    {
      description:
        'By connector: what its provider limits or charges for, added up over the messages that render with both versions.',
    },
  ),
  cost: Type.Optional(
    Type.Object(
      { ...ChangeSchema, difference: Type.Number() },
      { description: 'Segments of text messages at segmentPrice.' },
    ),
  ),
};

export const DifferenceSchema = Type.Object({
  id: Type.String(),
  to: Type.String({ description: 'The recipient, masked.' }),
  channel: Type.String(),
  connector: Type.String(),
  ownVersion: Type.Integer({ description: 'What it is compared with.' }),
  result: Type.Enum([...replayResults]),
  problems: Type.Optional(Type.Array(FaultSchema)),
  sizes: Type.Optional(Type.Array(Type.Object({ what: Type.String(), ...ChangeSchema }))),
  diff: Type.Optional(
    Type.String({
      description:
        'A unified diff of the rendered contents, at most 16,000 characters of it; only with texts.',
    }),
  ),
});
export type Difference = Static<typeof DifferenceSchema>;

/** One message with both versions. */
export interface Replayed {
  readonly snapshot: Snapshot;
  readonly own: RenderedOne;
  readonly other: RenderedOne;
  readonly isSame: boolean;
}

interface SizeSum {
  before: number;
  after: number;
  longer: number;
  shorter: number;
  tooLong: number;
}

/** Bounded, however much is counted: by the faults and sizes that one template can have. */
export class Tally {
  #counts = {
    looked: 0,
    same: 0,
    different: 0,
    fails: 0,
    failsAlready: 0,
    mended: 0,
    erased: 0,
    gone: 0,
  };
  readonly #faults = new Map<string, { readonly fault: FieldFault; count: number }>();
  readonly #sizes = new Map<string, Map<string, SizeSum>>();

  get looked(): number {
    return this.#counts.looked;
  }

  leaveOut(why: 'erased' | 'gone'): void {
    this.#counts.looked += 1;
    this.#counts[why] += 1;
  }

  /** Counts one; undefined: it comes out the same. */
  add({ snapshot, own, other, isSame }: Replayed): (typeof replayResults)[number] | undefined {
    this.#counts.looked += 1;
    if (own.result === 'content' && other.result === 'content')
      this.#measure(snapshot.connector, own.sizes, other.sizes);
    if (isSame) {
      this.#counts.same += 1;
      return undefined;
    }
    if (other.result === 'fails') {
      this.#counts.fails += 1;
      if (own.result === 'fails') this.#counts.failsAlready += 1;
      for (const fault of other.faults) this.#fault(fault);
      return 'fails';
    }
    const result = own.result === 'fails' ? 'mended' : 'different';
    this.#counts[result] += 1;
    return result;
  }

  #fault(fault: FieldFault): void {
    const key = `${fault.pointer} ${fault.detail}`;
    const known = this.#faults.get(key);
    if (known !== undefined) known.count += 1;
    else this.#faults.set(key, { fault, count: 1 });
  }

  #measure(
    connector: string,
    before: Extract<RenderedOne, { result: 'content' }>['sizes'],
    after: Extract<RenderedOne, { result: 'content' }>['sizes'],
  ): void {
    const sums = this.#sizes.get(connector) ?? new Map<string, SizeSum>();
    this.#sizes.set(connector, sums);
    for (const [what, { size, limit = Infinity }] of Object.entries(after)) {
      const was = before[what]?.size;
      if (was === undefined) continue;
      const sum = sums.get(what) ?? { before: 0, after: 0, longer: 0, shorter: 0, tooLong: 0 };
      sums.set(what, sum);
      sum.before += was;
      sum.after += size;
      if (size > was) sum.longer += 1;
      if (size < was) sum.shorter += 1;
      if (size > limit && was <= limit) sum.tooLong += 1;
    }
  }

  /** `segmentPrice`: of one segment of a text message. */
  counts(segmentPrice: number | undefined) {
    const sizes = Object.fromEntries(
      [...this.#sizes].map(([connector, sums]) => [
        connector,
        [...sums].map(([what, sum]) => ({ what, ...sum })),
      ]),
    );
    const segments = Object.values(sizes).flatMap((list) =>
      list.filter(({ what }) => what === 'segments'),
    );
    const sum = (side: 'before' | 'after') =>
      segments.reduce((total, one) => total + one[side], 0) * (segmentPrice ?? 0);
    return {
      ...this.#counts,
      problems: [...this.#faults.values()]
        .toSorted((a, b) => b.count - a.count)
        .slice(0, mostFaults)
        .map(({ fault, count: times }) => ({ ...fault, count: times })),
      sizes,
      ...(segmentPrice !== undefined && {
        cost: {
          before: sum('before'),
          after: sum('after'),
          difference: sum('after') - sum('before'),
        },
      }),
    };
  }
}
