import type { ByteRange } from "../../../lib/bytes/byte_range.ts";
import { parseRange } from "../../../lib/http/range.ts";
import { assertEquals } from "../../support/assert.ts";

const cases: [string | null, ByteRange | undefined, string][] = [
  [null, undefined, "a missing header"],
  ["bytes=0-", { start: 0 }, "an open range from the start"],
  ["bytes=100-", { start: 100 }, "an open range, which containerd resumes with"],
  ["bytes=0-0", { start: 0, end: 0 }, "one byte"],
  ["bytes=5-9", { start: 5, end: 9 }, "a closed range"],
  ["bytes=-5", { suffix: 5 }, "the last bytes"],
  ["bytes=-0", { suffix: 0 }, "the last 0 bytes, which resolveRange() rejects"],
  ["Bytes=1-2", { start: 1, end: 2 }, "the unit in any case"],
  ["bytes= 1-2 ", { start: 1, end: 2 }, "white space around the range"],
  ["bytes=007-", { start: 7 }, "leading zeros"],
  ["bytes=99999999999999999999-", { start: Number.MAX_SAFE_INTEGER }, "a start past every size"],
  ["bytes=0-99999999999999999999", { start: 0, end: Number.MAX_SAFE_INTEGER }, "an end past every size"],
  [`bytes=${"9".repeat(5000)}-`, { start: Number.MAX_SAFE_INTEGER }, "a start of 5,000 digits [56]"],
  ["nibbles=0-9", undefined, "another unit [56]"],
  ["bytes=9-1", undefined, "an end before its start [56]"],
  ["bytes=0-1,3-4", undefined, "two ranges"],
  ["bytes=0-1, -1", undefined, "a range and a suffix"],
  [`bytes=${Array.from({ length: 10_000 }, (_, i) => `${i * 2}-${i * 2}`)}`, undefined, "10,000 ranges [56]"],
  ["bytes=", undefined, "an empty range"],
  ["bytes=-", undefined, "a range without positions"],
  ["bytes=a-b", undefined, "letters as positions"],
  ["bytes=1", undefined, "a range without a dash"],
  ["bytes=--1", undefined, "two dashes"],
  ["bytes=-1-2", undefined, "a negative start"],
  ["bytes=0x1-0x2", undefined, "hexadecimal digits"],
  ["bytes=1.5-2", undefined, "a fractional position"],
  ["bytes 0-1", undefined, "a Content-Range"],
  ["", undefined, "an empty header"],
];

for (const [header, expected, what] of cases) {
  Deno.test(`parseRange() ${expected === undefined ? "ignores" : "parses"} ${what}`, () => {
    assertEquals(parseRange(header), expected);
  });
}
