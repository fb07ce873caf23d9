import { createProgress, formatProgressBar, formatProgressLine } from "../../../../lib/cli/console/progress.ts";
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
