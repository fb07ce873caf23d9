/** Formats rows as aligned columns under headings; only the headings when there are no rows. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  return formatRows(all, measureColumns(all, []));
}

const ROWS_AT_ONCE = 1000;

/**
 * Formats the text of `formatTable` piece by piece, so that a long table is never in memory. Each piece has up to 1,000
 * rows. If one of a later piece is wider than all before, the columns are wider from that piece on.
 */
export async function* formatLongTable(
  headings: readonly string[],
  rows: AsyncIterable<readonly string[]>,
): AsyncGenerator<string> {
  let piece = [headings];
  let widths: readonly number[] = [];
  for await (const row of rows) {
    if (piece.push(row) < ROWS_AT_ONCE) continue;
    widths = measureColumns(piece, widths);
    yield formatRows(piece, widths);
    piece = [];
  }
  if (piece.length > 0) yield formatRows(piece, measureColumns(piece, widths));
}

/** Returns the width of each column, at least that of before. */
function measureColumns(rows: readonly (readonly string[])[], before: readonly number[]): number[] {
  const widths = [...before];
  for (const row of rows) row.forEach((cell, column) => widths[column] = Math.max(widths[column] ?? 0, cell.length));
  return widths;
}

function formatRows(rows: readonly (readonly string[])[], widths: readonly number[]): string {
  const format = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => `${format(row).trimEnd()}\n`).join("");
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
