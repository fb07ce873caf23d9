/** Formats rows as aligned columns under headings; only the headings when there are no rows. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return [...formatLongTable(headings, rows)].join("");
}

const MAX_PIECE = 64 * 1024;

/** Formats the same text piece by piece, so that that of a long table is never in memory. */
export function* formatLongTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): Generator<string> {
  // Not `Math.max(...lengths)`: a function cannot have as many arguments as a list may have rows.
  const widths = headings.map((heading, column) => {
    return rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), heading.length);
  });
  const format = (row: readonly string[]) =>
    `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()}\n`;
  let piece = format(headings);
  for (const row of rows) {
    piece += format(row);
    if (piece.length < MAX_PIECE) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

/** Formats a value as one JSON document for standard output. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/**
 * Formats values as the same document as `formatJson` of an array of them, piece by piece, so that a long list is never
 * in memory.
 */
export async function* formatJsonList(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  let count = 0;
  for await (const value of values) {
    const text = JSON.stringify(value, undefined, 2).replaceAll("\n", "\n  ");
    yield `${count++ === 0 ? "[" : ","}\n  ${text}`;
  }
  yield count === 0 ? "[]\n" : "\n]\n";
}
