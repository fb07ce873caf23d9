import { formatParts, missingParts } from "../../../lib/install/pending_packages.ts";
import { assertEquals } from "../../support/assert.ts";

const cases: [number[], string, number[]][] = [
  [[], "none of the parts", [1, 2, 3, 4]],
  [[3], "part 3", [1, 2, 4]],
  [[1, 2], "parts 1 and 2", [3, 4]],
  [[1, 2, 4], "parts 1, 2 and 4", [3]],
];
for (const [numbers, text, missing] of cases) {
  Deno.test(`formatParts() returns "${text}", and missingParts() the others of four`, () => {
    assertEquals([formatParts(numbers), missingParts({ count: 4, received: numbers })], [text, missing]);
  });
}
