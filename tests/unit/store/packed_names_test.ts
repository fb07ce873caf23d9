import { PackedNames } from "../../../lib/store/packed_names.ts";
import { assertEquals } from "../../support/assert.ts";

for (const count of [0, 1, 999, 1000, 1001, 2500]) {
  Deno.test(`PackedNames yields ${count} names in the order in which they were added`, () => {
    const names = Array.from({ length: count }, (_, i) => `registry.test/team/app${i}`);
    const packed = new PackedNames();
    for (const name of names) packed.add(name);
    assertEquals([...packed], names);
    assertEquals([...packed], names);
  });
}
