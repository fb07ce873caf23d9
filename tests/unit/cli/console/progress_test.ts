import {
  createProgress,
  formatItem,
  formatProgressBar,
  formatProgressLine,
} from "../../../../lib/cli/console/progress.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const half = { label: "pack", bytes: 50 * 2 ** 20, total: 100 * 2 ** 20, elapsed: 5000 };

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
    [40, "pull quay…  50 MiB of 100 MiB, 0:05 left"],
    [12, "0:05 left"],
  ] as const
) {
  Deno.test(`formatProgressBar() keeps the time left in ${width} columns`, () => {
    const shown = formatProgressBar(named, width);
    assert(shown.length <= width, shown);
    assertEquals(shown.replace(/^\[#+-+\]/, "[#####-----]"), text.slice(0, width === 40 ? undefined : width));
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
