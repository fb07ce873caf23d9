import type { Io } from "./io.ts";
import { formatSize, formatTime } from "./quantity.ts";

/** The progress of a task. */
export interface ProgressState {
  /** The name of the task, in a word or two. */
  readonly label: string;
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

const REDRAW_MILLISECONDS = 100;
const LINE_MILLISECONDS = 5000;

/**
 * Creates a progress display: a bar on a terminal, a line every five seconds otherwise, nothing with `quiet`.
 *
 * @param now a monotonic clock in milliseconds
 */
export function createProgress(
  io: Io,
  label: string,
  { quiet = false, now = () => performance.now() }: { quiet?: boolean; now?: () => number } = {},
): Progress {
  if (quiet) return { update() {}, finish() {} };
  const columns = io.columns;
  const started = now();
  let shownAt = columns === undefined ? started : -Infinity;
  let state: ProgressState = { label, bytes: 0, elapsed: 0 };
  let isDrawn = false;
  const show = () => {
    isDrawn = true;
    if (columns === undefined) io.err(`${formatProgressLine(state)}\n`);
    else io.err(`\r${formatProgressBar(state, columns - 1)}\x1b[K`);
  };
  return {
    update(bytes, total) {
      const at = now();
      state = { label, bytes, total, elapsed: at - started };
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

/** Formats progress as text: `pack  312 MiB of 1.2 GiB, 96 MiB/s, 0:09 left`. */
export function formatProgressLine({ label, bytes, total, elapsed }: ProgressState): string {
  const rate = elapsed > 0 ? bytes / elapsed * 1000 : 0;
  const amount = total === undefined ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(total)}`;
  const left = total !== undefined && rate > 0 && bytes < total
    ? `, ${formatTime((total - bytes) / rate * 1000)} left`
    : "";
  return `${label}  ${amount}, ${formatSize(rate)}/s${left}`;
}

/** Formats progress as a bar and the text of `formatProgressLine`, in at most `width` columns. */
export function formatProgressBar(state: ProgressState, width: number): string {
  const text = formatProgressLine(state);
  const room = Math.min(30, width - text.length - 3);
  if (state.total === undefined || room < 5) return text.slice(0, Math.max(0, width));
  const share = state.total === 0 ? 1 : Math.min(1, state.bytes / state.total);
  const full = Math.round(share * room);
  return `[${"#".repeat(full)}${"-".repeat(room - full)}] ${text}`;
}
