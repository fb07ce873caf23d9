import type { Io } from "./io.ts";
import { formatSize, formatTime } from "./quantity.ts";

/** The progress of a task. */
export interface ProgressState {
  /** The name of the task, in a word or two. */
  readonly label: string;
  /** What the task works on, where there is more than one: `nginx:1.27, 2 of 5`. */
  readonly item?: string | undefined;
  /** Bytes processed so far. */
  readonly bytes: number;
  /** Total bytes, if known. */
  readonly total?: number | undefined;
  /** Milliseconds since the start. */
  readonly elapsed: number;
}

/** Displays the progress of a task. */
export interface Progress {
  /** Reports progress. May be called at any rate: drawing is limited. @param total total bytes, if known */
  update(bytes: number, total?: number): void;
  /** Ends the display. Must be called on success and on failure. */
  finish(): void;
}

/** Options of a progress display. */
export interface ProgressOptions {
  /** Whether nothing is displayed. */
  readonly quiet?: boolean;
  /** See `ProgressState.item`. */
  readonly item?: string | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

const REDRAW_MILLISECONDS = 100;
const LINE_MILLISECONDS = 5000;

/** Creates a progress display: a bar on a terminal, a line every five seconds otherwise, nothing with `quiet`. */
export function createProgress(
  io: Io,
  label: string,
  { quiet = false, item, now = () => performance.now() }: ProgressOptions = {},
): Progress {
  if (quiet) return { update() {}, finish() {} };
  const columns = io.columns;
  const started = now();
  let shownAt = columns === undefined ? started : -Infinity;
  let state: ProgressState = { label, item, bytes: 0, elapsed: 0 };
  let isDrawn = false;
  const show = () => {
    isDrawn = true;
    if (columns === undefined) io.err(`${formatProgressLine(state)}\n`);
    else io.err(`\r${formatProgressBar(state, columns - 1)}\x1b[K`);
  };
  return {
    update(bytes, total) {
      const at = now();
      state = { label, item, bytes, total, elapsed: at - started };
      if (at - shownAt < (columns === undefined ? LINE_MILLISECONDS : REDRAW_MILLISECONDS)) return;
      shownAt = at;
      show();
    },
    finish() {
      if (!isDrawn) return;
      show();
      if (columns !== undefined) io.err("\n");
    },
  };
}

/** Returns the last part of a path, the name that a bar has room for. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}

/** Formats the name of one of several items: `nginx:1.27, 2 of 5`; the name alone when there are no others. */
export function formatItem(name: string, number: number, count: number): string {
  return count === 1 ? name : `${name}, ${number} of ${count}`;
}

/** Formats progress as text: `pack  312 MiB of 1.2 GiB, 96 MiB/s, 0:09 left`. */
export function formatProgressLine(state: ProgressState): string {
  const { head, amount, rate, left } = partsOf(state);
  return [`${head}  ${amount}`, rate, left].filter((part) => part !== "").join(", ");
}

function partsOf({ label, item, bytes, total, elapsed }: ProgressState) {
  const rate = elapsed > 0 ? bytes / elapsed * 1000 : 0;
  return {
    head: item === undefined ? label : `${label} ${item}`,
    amount: total === undefined ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(total)}`,
    rate: `${formatSize(rate)}/s`,
    left: total !== undefined && rate > 0 && bytes < total ? `${formatTime((total - bytes) / rate * 1000)} left` : "",
  };
}

/**
 * Formats progress as a bar and the text of `formatProgressLine`, in at most `width` columns. Where they do not fit, the
 * bar is left out, then the rate; then the name is shortened. The time left always stays.
 */
export function formatProgressBar(state: ProgressState, width: number): string {
  const text = formatProgressLine(state);
  const room = Math.min(30, width - text.length - 3);
  if (state.total !== undefined && room >= 5) {
    const share = state.total === 0 ? 1 : Math.min(1, state.bytes / state.total);
    const full = Math.round(share * room);
    return `[${"#".repeat(full)}${"-".repeat(room - full)}] ${text}`;
  }
  if (text.length <= width) return text;
  const { head, amount, left } = partsOf(state);
  const tail = [amount, left].filter((part) => part !== "").join(", ");
  const name = width - tail.length - 2;
  if (name >= head.length) return `${head}  ${tail}`;
  if (name >= 4) return `${head.slice(0, name - 1)}…  ${tail}`;
  return (left || amount).slice(0, Math.max(0, width));
}
