import { formatBar, formatFigure, formatMachine } from "./format_report.ts";
import type { BenchReport } from "./report.ts";
import type { Row } from "./row.ts";
import type { Series } from "./samples.ts";

const MIB = 2 ** 20;
const BEGIN = "<!-- results: written by scripts/performance.ts -->";
const END = "<!-- end of results -->";

/** Joins runs on one machine. Of rows with the same id, those of the last run are kept. */
export function mergeReports(reports: readonly BenchReport[]): BenchReport {
  const last = reports.at(-1);
  if (last === undefined) throw new Error("Cannot join runs: there is none");
  const rows = new Map<string, Row[]>();
  for (const report of reports) {
    for (const [id, group] of Map.groupBy(report.rows, ({ id }) => id)) rows.set(id, group);
  }
  const missing = [...new Set(reports.flatMap((report) => report.missing))].sort();
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  return { ...last, missing, seconds, rows: [...rows.values()].flat().toSorted((a, b) => numberOf(a) - numberOf(b)) };
}

/** Formats a run as Markdown: the machine, and a table for each row. */
export function formatMarkdown({ machine, options, seconds, missing, rows }: BenchReport): string {
  const { size, rounds } = options;
  const lines = [
    `Run on ${machine.date} with ${machine.crpe}, on ${formatMachine(machine)}: ` +
    `${Math.round(size / MIB)} MiB, ${rounds} rounds, ${Math.round(seconds / 60)} minutes.` +
    (missing.length === 0 ? "" : ` Not installed, and left out: ${missing.join(", ")}.`),
    ...rows.map(formatRow),
  ];
  return `${lines.join("\n\n")}\n`;
}

/** Replaces the part of a page between the two markers. @throws {Error} when the page does not have both */
export function replaceResults(page: string, results: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`Cannot write the results: the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${results}\n${page.slice(end)}`;
}

function formatRow({ id, work, unit, cpuFor, series, bars, notes }: Row): string {
  // A flag in the name of a work is one of crpe's.
  const title = `**${id}**: ${work.replace(/gc --dry-run/, "`gc --dry-run`")}`;
  const cpu = cpuFor === undefined ? "CPU s" : `CPU s for ${cpuFor}`;
  const table = formatTable([
    ["", unit, "smallest", "largest", cpu, "peak MiB"],
    ...series.map(formatSeries),
  ]);
  const remarks = [...bars.map(formatBar), ...notes].map((remark) => `- ${remark}`);
  return [title, table, ...(remarks.length === 0 ? [] : [remarks.join("\n")])].join("\n\n");
}

function formatSeries({ name, median, min, max, cpu, peak }: Series): string[] {
  return [name, ...[median, min, max, cpu, peak].map((each) => each === undefined ? "" : formatFigure(each))];
}

function formatTable(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]!.length)));
  const format = (row: readonly string[]) =>
    `| ${row.map((cell, at) => at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)).join(" | ")} |`;
  const rule = `| ${
    widths.map((width, at) => at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`).join(" | ")
  } |`;
  return [format(head), rule, ...rows.slice(1).map(format)].join("\n");
}

function numberOf({ id }: Row): number {
  return Number(id.slice(1));
}
