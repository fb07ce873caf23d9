import { findOpening, findPeriod, formatLocalTime, formatWindow } from "../../../../lib/upstream/link/link_limits.ts";
import { assertEquals } from "../../../support/assert.ts";

const at = (hour: number, minute = 0, day = 28) => new Date(2026, 10, day, hour, minute).getTime();
const night = { from: 60, to: 300 };
const overMidnight = { from: 22 * 60, to: 5 * 60 };

for (
  const [name, windows, time, opening] of [
    ["no window", [], at(12), undefined],
    ["the first minute", [night], at(1), undefined],
    ["the last minute", [night], at(4, 59), undefined],
    ["the end", [night], at(5), at(1, 0, 29)],
    ["before it", [night], at(0, 59), at(1)],
    ["over midnight, in the evening", [overMidnight], at(23), undefined],
    ["over midnight, in the morning", [overMidnight], at(4), undefined],
    ["over midnight, at noon", [overMidnight], at(12), at(22)],
    ["the nearest of two", [night, { from: 720, to: 780 }], at(11), at(12)],
    ["one of two", [night, { from: 720, to: 780 }], at(12, 30), undefined],
    ["until the end of the day", [{ from: 1200, to: 1440 }], at(23, 59), undefined],
  ] as const
) {
  Deno.test(`[101] the opening of a window: ${name}`, () => {
    assertEquals(findOpening(windows, time), opening);
  });
}

Deno.test("[101] a period ends at midnight, or before the first day of a month", () => {
  assertEquals(findPeriod("day", at(23, 59, 30)), { name: "2026-11-30", end: new Date(2026, 11, 1).getTime() });
  assertEquals(findPeriod("month", at(0, 0, 1)), { name: "2026-11", end: new Date(2026, 11, 1).getTime() });
  assertEquals(findPeriod("month", new Date(2026, 11, 31).getTime()).end, new Date(2027, 0, 1).getTime());
});

Deno.test("windows and times are written as they are read", () => {
  assertEquals([formatWindow(overMidnight), formatLocalTime(at(1, 5))], ["22:00-05:00", "2026-11-28 01:05"]);
});
