import {
  createProgress,
  formatItem,
  formatProgressBar,
  formatProgressLine,
} from "../../../../lib/cli/console/progress.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const MIB = 2 ** 20;
const half = { label: "pack", bytes: 50 * MIB, total: 100 * MIB, rate: 10 * MIB };

Deno.test("formatProgressLine() shows bytes, rate and remaining time", () => {
  assertEquals(formatProgressLine(half), "pack  50 MiB of 100 MiB, 10 MiB/s, 0:05 left");
});

Deno.test("formatProgressLine() omits total and remaining time when the total is unknown", () => {
  assertEquals(formatProgressLine({ ...half, total: undefined }), "pack  50 MiB, 10 MiB/s");
});

for (const width of [5, 20, 60, 80, 300]) {
  Deno.test(`formatProgressBar() fits ${width} columns`, () => {
    assert(formatProgressBar(half, width).length <= width);
  });
}

const named = { ...half, label: "pull", item: "quay.io/prometheus/node-exporter:v1.8.2, 2 of 5" };
for (
  const [width, text] of [
    [120, "[#####-----] pull quay.io/prometheus/node-exporter:v1.8.2, 2 of 5  50 MiB of 100 MiB, 10 MiB/s, 0:05 left"],
    [90, "pull quay.io/prometheus/node-exporter:v1.8.2, 2 of 5  50 MiB of 100 MiB, 0:05 left"],
    [60, "pull …-exporter:v1.8.2, 2 of 5  50 MiB of 100 MiB, 0:05 left"],
    [40, "pull …ter:v1.8.2, 2 of 5  50%, 0:05 left"],
    [39, "pull …er:v1.8.2, 2 of 5  50%, 0:05 left"],
    [30, "0:05 left"],
    [12, "0:05 left"],
  ] as const
) {
  Deno.test(`formatProgressBar() keeps the time left in ${width} columns`, () => {
    const shown = formatProgressBar(named, width);
    assert(shown.length <= width, shown);
    assertEquals(shown.replace(/^\[#+-+\]/, "[#####-----]"), text);
  });
}

Deno.test("formatItem() counts only where there are several", () => {
  assertEquals([formatItem("a:1", 1, 1), formatItem("a:1", 2, 5)], ["a:1", "a:1, 2 of 5"]);
});

Deno.test("formatProgressBar() fills the bar in proportion to the bytes processed", () => {
  assertStringIncludes(formatProgressBar(half, 120), `[${"#".repeat(15)}${"-".repeat(15)}]`);
});

for (
  const [what, columns, quiet, expected] of [
    ["redraws its line on a terminal", 100, false, /^\r\[[-#]+\] pull .*(\r.*)+\n$/],
    ["writes whole lines without a terminal", undefined, false, /^pull {2}.*\n(pull {2}.*\n)*$/],
    ["is silent with --quiet", 100, true, /^$/],
  ] as const
) {
  Deno.test(`createProgress() ${what}`, () => {
    const io = createTestIo({ columns });
    let time = 0;
    const progress = createProgress(io, "pull", { quiet, now: () => time });
    for (let i = 1; i <= 10; i++) {
      time += 1000;
      progress.update(i * 1000, 10_000);
    }
    progress.finish();
    assert(expected.test(io.errText), JSON.stringify(io.errText));
    if (columns === undefined) assert(io.errText.split("\n").length < 6);
    assertEquals(io.outText, "");
  });
}

for (
  const [what, updates, expected] of [
    ["that begins at its start", [[0, 0], [1, 10], [2, 20], [3, 30]], "pull  30 MiB of 100 MiB, 10 MiB/s, 0:07 left"],
    [
      "that resumes in the middle",
      [[0, 0], [0.5, 60], [1, 65], [2, 75], [3, 85]],
      "pull  85 MiB of 100 MiB, 10 MiB/s, 0:02 left",
    ],
    ["whose connection slows down", [
      ...Array.from({ length: 30 }, (_, i) => [i, i * 2] as const),
      ...Array.from({ length: 30 }, (_, i) => [30 + i, 60 + i] as const),
    ], "pull  89 MiB of 100 MiB, 1 MiB/s, 0:11 left"],
    ["that has just begun", [[0, 0], [0.5, 60]], "pull  60 MiB of 100 MiB"],
  ] as const
) {
  Deno.test(`createProgress() shows the speed of a task ${what}`, () => {
    const io = createTestIo({ columns: 200 });
    let time = 0;
    const progress = createProgress(io, "pull", { now: () => time });
    for (const [second, mebibytes] of updates) {
      time = second * 1000;
      progress.update(mebibytes * MIB, 100 * MIB);
    }
    progress.finish();
    assertEquals(io.errText.split("\r").at(-1)!.replace("\x1b[K\n", "").replace(/^\[[#-]+\] /, ""), expected);
  });
}
