import type { Bar, Row } from "./row.ts";

const NAME_WIDTH = 50;
const FIGURE_WIDTH = 11;

/** Formats rows as a text table. */
export function formatRows(rows: readonly Row[]): string {
  const head = formatLine("", ["median", "min", "max"]);
  return rows.map((row) => `${head}\n${formatRow(row)}\n`).join("\n");
}

function formatRow({ id, work, unit, series, bars, notes }: Row): string {
  const lines = [`${id}  ${work}, in ${unit}`];
  for (const { name, median, min, max } of series) lines.push(formatLine(name, [median, min, max].map(formatFigure)));
  for (const bar of bars) lines.push(formatBar(bar));
  for (const note of notes) lines.push(`    (${note})`);
  return lines.join("\n");
}

function formatBar({ what, value, sense, limit, isMet }: Bar): string {
  const sign = sense === "at least" ? "≥" : "≤";
  return `    bar: ${what} ${formatFigure(value)}, required ${sign} ${formatFigure(limit)}: ${
    isMet ? "met" : "MISSED"
  }`;
}

function formatLine(name: string, figures: readonly string[]): string {
  return `    ${name.padEnd(NAME_WIDTH)}${figures.map((figure) => figure.padStart(FIGURE_WIDTH)).join("")}`;
}

/** Formats a figure with three significant digits. */
function formatFigure(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}
