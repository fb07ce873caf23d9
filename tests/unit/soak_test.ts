import { type GrowthLimits, judgeGrowth, mediansOf, type SoakSample } from "../../scripts/soak/judge_growth.ts";
import { assertEquals } from "../support/assert.ts";

const MIB = 2 ** 20;
const LIMITS: GrowthLimits = { memory: 24 * MIB, openFiles: 24, partialFiles: 12, peakMemory: 320 * MIB };

/** Makes 200 samples of a quantity; the others stay the same. */
function makeSamples(name: keyof SoakSample, valueAt: (i: number) => number): SoakSample[] {
  return Array.from({ length: 200 }, (_, i) => {
    return { memory: 100 * MIB, openFiles: 30, partialFiles: 2, [name]: valueAt(i) };
  });
}

const noise = (i: number) => (i * 7919) % 13;
const CASES: readonly [what: string, samples: SoakSample[], found: RegExp | undefined][] = [
  ["finds nothing in even samples", makeSamples("memory", (i) => 100 * MIB + noise(i) * MIB), undefined],
  ["finds memory that grows", makeSamples("memory", (i) => 100 * MIB + i * MIB / 4), /^the memory grew by /],
  [
    "finds slow growth under noise",
    makeSamples("memory", (i) => (100 + i * 0.3 + 2 * noise(i)) * MIB),
    /^the memory grew by /,
  ],
  ["ignores growth below the limit", makeSamples("memory", (i) => 100 * MIB + i * MIB / 10), undefined],
  ["ignores what is filled in the beginning", makeSamples("memory", (i) => (i < 40 ? 60 : 160) * MIB), undefined],
  ["ignores a step that is not repeated", makeSamples("memory", (i) => (i < 120 ? 100 : 140) * MIB), undefined],
  ["ignores a saw", makeSamples("memory", (i) => (100 + i % 50) * MIB), undefined],
  ["finds files that stay open", makeSamples("openFiles", (i) => 30 + Math.floor(i / 4)), /^the number of open files/],
  [
    "finds partial files that stay",
    makeSamples("partialFiles", (i) => Math.floor(i / 8)),
    /^the number of partial files/,
  ],
  ["finds a peak above the limit", makeSamples("memory", (i) => (i === 90 ? 400 : 100) * MIB), /^419430400 bytes of/],
  ["refuses too few samples", makeSamples("memory", () => 1).slice(0, 39), /^39 samples are too few/],
];
for (const [what, samples, found] of CASES) {
  Deno.test(`judgeGrowth() ${what}`, () => {
    const problems = judgeGrowth(samples, LIMITS);
    assertEquals(problems.length, found === undefined ? 0 : 1, problems.join("; "));
    if (found !== undefined) assertEquals(found.test(problems[0]!), true, problems[0]);
  });
}

Deno.test("mediansOf() leaves the warm-up out, and gives the median of each window", () => {
  assertEquals(mediansOf([9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), [2, 5, 8, 11]);
});
