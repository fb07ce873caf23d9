import { formatCount, formatSize, formatTime, parseDuration, parseSize } from "../../../../lib/cli/console/quantity.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

for (
  const [text, milliseconds] of [
    ["0", 0],
    ["90s", 90_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["250ms", 250],
    ["2d", 172_800_000],
  ] as const
) {
  Deno.test(`parseDuration() reads ${text}`, () => assertEquals(parseDuration(text, "--tag-ttl"), milliseconds));
}

for (const text of ["", "5", "m", "5 m", "-5m", "5m!", "five minutes"]) {
  Deno.test(`parseDuration() refuses ${JSON.stringify(text)}`, () => {
    assertThrows(() => parseDuration(text, "--tag-ttl"), UsageError, "--tag-ttl");
  });
}

for (
  const [text, bytes] of [
    ["0", 0],
    ["1048576B", 1_048_576],
    ["500M", 524_288_000],
    ["20Gi", 21_474_836_480],
    ["20GB", 20_000_000_000],
    ["20GiB", 21_474_836_480],
    ["1.5k", 1536],
    ["1KB", 1000],
    ["3 TiB", 3_298_534_883_328],
  ] as const
) {
  Deno.test(`parseSize() reads ${text}`, () => assertEquals(parseSize(text, "--split"), bytes));
}

for (const text of ["", "M", "-1M", "10X", "1,5G"]) {
  Deno.test(`parseSize() refuses ${JSON.stringify(text)}`, () => {
    assertThrows(() => parseSize(text, "--split"), UsageError, "--split");
  });
}

Deno.test("[97] parseSize() refuses a number without a unit, and proposes some", () => {
  assertThrows(() => parseSize("20", "--cache-max"), UsageError, "it has no unit; write 20MiB, 20GiB or 20B");
});

for (const [count, text] of [[0, "0 blobs"], [1, "1 blob"], [2, "2 blobs"]] as const) {
  Deno.test(`formatCount() writes ${text}`, () => assertEquals(formatCount(count, "blob"), text));
}

for (
  const [bytes, text] of [
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [8 * 2 ** 20, "8 MiB"],
    [
      8.04 * 2 ** 20,
      "8 MiB",
    ],
    [1023.7 * 2 ** 20, "1 GiB"],
    [20 * 2 ** 30, "20 GiB"],
    [
      150.4 * 2 ** 20,
      "150 MiB",
    ],
    [5 * 2 ** 40, "5 TiB"],
  ] as const
) {
  Deno.test(`formatSize() writes ${bytes} as ${text}`, () => assertEquals(formatSize(bytes), text));
}

for (const [milliseconds, text] of [[0, "0:00"], [6500, "0:07"], [750_000, "12:30"], [3_723_000, "1:02:03"]] as const) {
  Deno.test(`formatTime() writes ${milliseconds} ms as ${text}`, () => assertEquals(formatTime(milliseconds), text));
}
