/** A part of each day in which upstreams may be used, in local time. It may pass midnight (`22:00-05:00`). */
export interface TimeWindow {
  /** In minutes after midnight; the window begins with this minute. */
  readonly from: number;
  /** In minutes after midnight; the window ends before this minute. */
  readonly to: number;
}

/** How long a budget lasts: it is full again at midnight, or at midnight before the first day of a month (local time). */
type BudgetPeriod = "day" | "month";

/** How many bytes may be received in a period. */
export interface LinkBudget {
  /** The registry whose content counts, as in image names, normalized; `undefined`: the content of all of them. */
  readonly host?: string | undefined;
  readonly bytes: number;
  readonly period: BudgetPeriod;
}

/** What a thin or metered link may carry from all upstreams together. */
export interface LinkLimits {
  /** In bytes a second; absent for no limit. */
  readonly rate?: number | undefined;
  readonly budgets: readonly LinkBudget[];
  /** Upstreams are used only in these windows; without any, always. */
  readonly windows: readonly TimeWindow[];
}

/** A period of a budget: its name, which sorts by time, and the time at which the next one starts. */
export interface CurrentPeriod {
  /** `2026-11-28`, or `2026-11` for a month. */
  readonly name: string;
  /** In milliseconds since 1970. */
  readonly end: number;
}

const pad = (value: number) => String(value).padStart(2, "0");

/** Returns the period of a budget at a time, in milliseconds since 1970. */
export function findPeriod(period: BudgetPeriod, time: number): CurrentPeriod {
  const date = new Date(time);
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()];
  const name = `${year}-${pad(month + 1)}`;
  return period === "month"
    ? { name, end: new Date(year, month + 1, 1).getTime() }
    : { name: `${name}-${pad(day)}`, end: new Date(year, month, day + 1).getTime() };
}

/**
 * Returns when the next window opens, in milliseconds since 1970; `undefined` when one is open now, or there are none.
 *
 * @param time in milliseconds since 1970
 */
export function findOpening(windows: readonly TimeWindow[], time: number): number | undefined {
  const date = new Date(time);
  const minute = date.getHours() * 60 + date.getMinutes();
  const isOpen = ({ from, to }: TimeWindow) =>
    from <= to ? minute >= from && minute < to : minute >= from || minute < to;
  if (windows.length === 0 || windows.some(isOpen)) return undefined;
  return Math.min(...windows.map(({ from }) => {
    const day = date.getDate() + (from > minute ? 0 : 1);
    return new Date(date.getFullYear(), date.getMonth(), day, 0, from).getTime();
  }));
}

/** Formats a window: `01:00-05:00`. */
export function formatWindow({ from, to }: TimeWindow): string {
  return [from, to].map((minutes) => `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`).join("-");
}

/** Formats a time in local time, to the minute: `2026-11-29 01:00`. */
export function formatLocalTime(time: number): string {
  const date = new Date(time);
  return `${findPeriod("day", time).name} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}
