/** What one query may ask at most. docs/operations.md prints them. */
export const sqlLimits = {
  characters: 8000,
  /** Rows of an answer, and the default of LIMIT. */
  rows: 1000,
  /** The last row that OFFSET and LIMIT reach. */
  reach: 10_000,
  groups: 1000,
  groupBy: 4,
  aggregates: 10,
  orderBy: 4,
  selected: 50,
  /** Conditions in all, each value of an IN counted as a tenth. */
  conditions: 100,
  inValues: 500,
  /** AND, OR and NOT within each other. */
  depth: 16,
  likeCharacters: 128,
  /** `%` of a pattern. */
  likeWildcards: 3,
  /** `_` of a pattern that also has `%`: each doubles what the index has to try. */
  likeSingles: 8,
  /** Characters that must be known of a pattern that does not begin with them. */
  likeKnown: 3,
  seconds: 5,
} as const;
