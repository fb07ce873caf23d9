import type { Io } from "./io.ts";
import { formatSize, formatTime } from "./quantity.ts";

/** The progress of a task. */
interface ProgressState {
  /** The name of the task, in a word or two. */
  readonly label: string;
  /** What the task works on, where there is more than one: `nginx:1.27, 2 of 5`. */
  readonly item?: string | undefined;
  /** Bytes processed so far. */
  readonly bytes: number;
  /** Total bytes, if known. */
  readonly total?: number | undefined;
  /** Bytes per second of late; `undefined` while it is not known. */
  readonly rate?: number | undefined;
}

/** Displays the progress of a task. */
export interface Progress {
  /** Reports progress. May be called at any rate: drawing is limited. @param total total bytes, if known */
  update(bytes: number, total?: number): void;
  /** Ends the display. Must be called on success and on failure. */
  finish(): void;
}

/** Options of a progress display. */
interface ProgressOptions {
  /** Whether nothing is displayed. */
  readonly quiet?: boolean;
  /** See `ProgressState.item`. */
  readonly item?: string | undefined;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

const REDRAW_MILLISECONDS = 100;
const LINE_MILLISECONDS = 5000;
// What a resumed task has already is counted at once. That is no speed, so the first second is not measured.
const UNMEASURED_MILLISECONDS = 1000;
// A speed is that of the last so many samples, at least a second apart: it follows a connection that slows down.
const MAX_SAMPLES = 15;
const SAMPLE_MILLISECONDS = 1000;
// A name is shortened at its start: the end has the tag and the count.
const MIN_NAME_COLUMNS = 16;

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
  let state: ProgressState = { label, item, bytes: 0 };
  const speed = new Speed(started);
  let isDrawn = false;
  const show = () => {
    isDrawn = true;
    if (columns === undefined) io.err(`${formatProgressLine(state)}\n`);
    else io.err(`\r${formatProgressBar(state, columns - 1)}\x1b[K`);
  };
  return {
    update(bytes, total) {
      const at = now();
      state = { label, item, bytes, total, rate: speed.measure(at, bytes) };
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

function partsOf({ label, item, bytes, total, rate }: ProgressState) {
  return {
    head: item === undefined ? label : `${label} ${item}`,
    amount: total === undefined ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(total)}`,
    share: total === undefined ? formatSize(bytes) : `${Math.floor(total === 0 ? 100 : bytes / total * 100)}%`,
    rate: rate === undefined ? "" : `${formatSize(rate)}/s`,
    left: total !== undefined && rate && bytes < total ? `${formatTime((total - bytes) / rate * 1000)} left` : "",
  };
}

/** Measures how fast the bytes of a task grow. */
class Speed {
  readonly #from: number;
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  constructor(started: number) {
    this.#from = started + UNMEASURED_MILLISECONDS;
  }

  /** @returns bytes per second; `undefined` while it is not known */
  measure(at: number, bytes: number): number | undefined {
    const last = this.#samples.at(-1);
    if (at >= this.#from && (last === undefined || at - last.at >= SAMPLE_MILLISECONDS)) {
      this.#samples.push({ at, bytes });
      if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
    }
    const [first] = this.#samples;
    return first === undefined || at === first.at ? undefined : (bytes - first.bytes) / (at - first.at) * 1000;
  }
}

/**
 * Formats progress as a bar and the text of `formatProgressLine`, in at most `width` columns. Where they do not fit, the
 * bar is left out, then the rate; then the name is shortened at its start, and the sizes become a percentage. The time
 * left always stays, and so does the count of the items.
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
  const { head, amount, share, left } = partsOf(state);
  for (const size of [amount, share]) {
    const tail = [size, left].filter((part) => part !== "").join(", ");
    const room = width - tail.length - 2;
    if (room >= head.length) return `${head}  ${tail}`;
    const { label, item } = state;
    const name = room - label.length - 1;
    if (item !== undefined && name >= MIN_NAME_COLUMNS) return `${label} …${item.slice(1 - name)}  ${tail}`;
  }
  return (left || share).slice(0, Math.max(0, width));
}
