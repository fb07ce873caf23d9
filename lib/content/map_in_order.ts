/**
 * Yields what `map` makes of each item, in the order of the items. It works on several items at once, ahead of the one that is
 * yielded.
 *
 * @throws the error of the first item, by its order, that fails; those that are being worked on are awaited
 */
export async function* mapInOrder<Item, Result>(
  items: AsyncIterable<Item>,
  atOnce: number,
  map: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      const result = map(item);
      // Of one that fails before its turn.
      result.catch(() => {});
      running.push(result);
      if (running.length >= atOnce) yield await running.shift()!;
    }
    while (running.length > 0) yield await running.shift()!;
  } finally {
    await Promise.allSettled(running);
  }
}
