import type { BenchReport, Machine } from "./report.ts";
import type { Bar, Row } from "./row.ts";

const NAME_WIDTH = 46;
const FIGURE_WIDTH = 10;
const MIB = 2 ** 20;

/** Formats a run as text. */
export function formatReport({ machine, options, seconds, missing, rows }: BenchReport): string {
  const head = formatLine("", ["median", "min", "max", "CPU s", "peak MiB"]);
  const lines = [
    `${machine.crpe}, on ${formatMachine(machine)}; ${options.rounds} rounds, ${seconds} s`,
    ...rows.map((row) => `\n${head}\n${formatRow(row)}`),
  ];
  if (missing.length > 0) lines.push(`\nleft out, not installed: ${missing.join(", ")}`);
  return lines.join("\n");
}

/** Describes a machine in one line. */
export function formatMachine({ cpus, cpu, memory, kernel, load }: Machine): string {
  const gib = formatFigure(memory / MIB / 1024);
  return `${cpus} CPUs (${cpu}), ${gib} GiB of memory, Linux ${kernel}, load ${formatFigure(load)} at the end`;
}

/** Formats a target and what was reached. */
export function formatBar({ what, value, sense, limit, isMet }: Bar): string {
  const sign = sense === "at least" ? "≥" : "≤";
  return `${what} ${formatFigure(value)}, required ${sign} ${formatFigure(limit)}: ${isMet ? "met" : "MISSED"}`;
}

/** Formats a figure with three significant digits. */
export function formatFigure(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

function formatRow({ id, work, unit, cpuFor, series, bars, notes }: Row): string {
  const lines = [`${id}  ${work}, in ${unit}${cpuFor === undefined ? "" : `; CPU s for ${cpuFor}`}`];
  for (const { name, median, min, max, cpu, peak } of series) {
    lines.push(
      formatLine(name, [median, min, max, cpu, peak].map((each) => each === undefined ? "" : formatFigure(each))),
    );
  }
  for (const bar of bars) lines.push(`    bar: ${formatBar(bar)}`);
  for (const note of notes) lines.push(`    (${note})`);
  return lines.join("\n");
}

function formatLine(name: string, figures: readonly string[]): string {
  return `    ${name.padEnd(NAME_WIDTH)}${figures.map((figure) => figure.padStart(FIGURE_WIDTH)).join("")}`.trimEnd();
}
