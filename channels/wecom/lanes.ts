/** Calls of one signal side by side: not more at once than it takes listeners without a warning. */
const lanes = 8;

/** What `ask` gives for each, in order. Errors: the first of `ask`. */
export async function inLanes<Item, Answer>(
  items: readonly Item[],
  ask: (item: Item) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  for (let at = 0; at < items.length; at += lanes)
    answers.push(...(await Promise.all(items.slice(at, at + lanes).map(ask))));
  return answers;
}
