import { formatVia, isLoop } from "../../../lib/http/via.ts";
import { assertEquals } from "../../support/assert.ts";

const FORMATS: [name: string, received: string | null | undefined, expected: string][] = [
  ["names the instance alone for a request of its own", undefined, "1.1 crpe-a"],
  ["keeps the earlier hops", "1.0 proxy.example, 1.1 crpe-b", "1.0 proxy.example, 1.1 crpe-b, 1.1 crpe-a"],
  ["does not repeat a header that is too long", "x".repeat(5000), "1.1 crpe-a"],
];
for (const [name, received, expected] of FORMATS) {
  Deno.test(`formatVia() ${name}`, () => assertEquals(formatVia(received, "a"), expected));
}

const LOOPS: [name: string, via: string | null, expected: boolean][] = [
  ["no header", null, false],
  ["another proxy", "1.1 varnish, 2.0 cdn (crpe-a)", false],
  ["another instance", "1.1 crpe-b", false],
  ["an instance whose identity begins alike", "1.1 crpe-ab", false],
  ["this instance", "1.1 crpe-a", true],
  ["this instance among others", "1.1 crpe-b,1.1 crpe-a , HTTP/1.1 proxy", true],
  ["a chain of too many instances", Array.from({ length: 8 }, (_, i) => `1.1 crpe-${i}x`).join(", "), true],
  ["a long header without this instance", "x".repeat(5000), false],
  ["a long header with this instance", `${"x".repeat(5000)}, 1.1 crpe-a`, true],
];
for (const [name, via, expected] of LOOPS) {
  Deno.test(`[75] isLoop() returns ${expected} for ${name}`, () => assertEquals(isLoop(via, "a"), expected));
}
